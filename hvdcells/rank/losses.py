"""The loss of each image, from logits, and what each class weighs in it."""

import tf_keras

from hvdcells.data.dataset import Dataset
from hvdcells.experiment import Experiment, Training


def image_loss(options: Training) -> tf_keras.losses.Loss:
    """Return a loss of (labels (batch, 1) of 0 or 1, logits (batch, 1)) that gives one value per image, (batch,).

    `focal` multiplies the cross-entropy by (1 − p)^γ, p being the probability of the true class (Lin et al. 2017, arXiv
    1708.02002); its α is the class weight, which the step applies to either loss.
    """
    common = {"from_logits": True, "label_smoothing": options.label_smoothing, "reduction": "none"}
    if options.loss == "focal":
        return tf_keras.losses.BinaryFocalCrossentropy(gamma=options.focal_gamma, **common)
    return tf_keras.losses.BinaryCrossentropy(**common)


def class_weights(dataset: Dataset, experiment: Experiment) -> tuple[float, float]:
    """Return the loss weights of healthy and cancer: images / (2 · images of the class), or 1."""
    if experiment.training.class_weights == "none":
        return 1.0, 1.0
    split = dataset.split("train")
    healthy, cancer = (split.images_per_class.get(name, 0) for name in dataset.manifest.class_names)
    return split.images / (2 * healthy), split.images / (2 * cancer)
