"""The first layer of a classifier: from images (RGB, 0–255) to what the backbone expects."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import tensorflow as tf

from hvdcells.errors import UserError
from hvdcells.experiment import Model
from hvdcells.experiment.backbones import EFFICIENTNET_LITE0, is_application, weights_kind
from hvdcells.rank.models.applications import expected_input, rescales_inside
from hvdcells.rank.models.efficientnet_lite import EXPECTED_INPUT


def preprocessing(
    keras: ModuleType, options: Model, channel_mean: Sequence[float], channel_std: Sequence[float], source: Any
) -> Any:
    """Return a model named `preprocess`, for images of any size.

    With `model.preprocessing=auto`:

    - weights of a run or of its model file: what they were trained with, taken from the `source`;
    - ImageNet weights, or a weights file for a backbone that can have them: what these were trained with, for an
      application what its `preprocess_input` does;
    - an application that rescales inside (EfficientNet, ConvNeXt, …): nothing, whatever the weights;
    - else: the channel statistics of the training split.

    Args:
        keras: the Keras of the backbone.
        options: backbone, weights and `preprocessing`.
        channel_mean: mean of R, G and B over the training split, in 0–255.
        channel_std: standard deviation of the same.
        source: the model that weights are taken from, or None.

    Raises:
        UserError: the dataset's normalisation is asked for, for a backbone that rescales 0–255 inside.
    """
    as_it_is = is_application(options.backbone) and rescales_inside(options.backbone)
    if as_it_is and options.preprocessing == "dataset":
        raise UserError(
            f"model.preprocessing=dataset with {options.backbone}",
            "auto or none: this backbone takes images as they are, 0–255, and rescales them inside",
            "leave model.preprocessing out",
        )
    if options.preprocessing == "auto" and source is not None:
        return source.get_layer("preprocess")
    inputs = keras.layers.Input((None, None, 3))
    if as_it_is or options.preprocessing == "none":
        return keras.Model(inputs, keras.layers.Activation("linear")(inputs), name="preprocess")
    expected_by_weights = options.preprocessing == "auto" and weights_kind(options) in ("imagenet", "backbone")
    mean, std, is_bgr = tuple(channel_mean), tuple(max(each, 1.0) for each in channel_std), False
    if expected_by_weights and is_application(options.backbone):
        mean, std, is_bgr = expected_input(options.backbone)
    elif expected_by_weights and options.backbone == EFFICIENTNET_LITE0:
        mean, std, is_bgr = EXPECTED_INPUT
    images = inputs
    if is_bgr:
        images = tf.reverse(images, [3])
    normalize = keras.layers.Normalization(mean=list(mean), variance=[each**2 for each in std], dtype="float32")
    return keras.Model(inputs, normalize(images), name="preprocess")
