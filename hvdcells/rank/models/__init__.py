"""The classifiers: `tf_keras` or Keras 3 models that take images (RGB, 0–255) and return a logit for each class."""

from hvdcells.rank.models.classifier import build_model, load_model

__all__ = ["build_model", "load_model"]
