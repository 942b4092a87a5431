"""The first layer of a classifier: from images (RGB, 0–255) to what the backbone expects."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import tensorflow as tf

from hvdcells.errors import UserError
from hvdcells.experiment import Model
from hvdcells.experiment.backbones import EFFICIENTNET_LITE0, is_application, weights_kind
from hvdcells.rank.models.applications import expected_input, rescales_inside
from hvdcells.rank.models.efficientnet_lite import EXPECTED_INPUT


class Preparation(NamedTuple):
    """What is done to an image before the backbone: (image − mean) / √variance by channel, RGB or BGR in 0–255."""

    mean: tuple[float, ...]
    variance: tuple[float, ...]
    is_bgr: bool


AS_IT_IS = Preparation((0.0,) * 3, (1.0,) * 3, False)


def preparation(
    options: Model, channel_mean: Sequence[float], channel_std: Sequence[float], of_source: Preparation | None
) -> Preparation:
    """Return what is done to an image before the backbone.

    With `model.preprocessing=auto`:

    - weights of a run or of its model file: what they were trained with, `of_source`;
    - ImageNet weights, or a weights file for a backbone that can have them: what these were trained with, for an
      application what its `preprocess_input` does;
    - an application that rescales inside (EfficientNet, ConvNeXt, …): nothing, whatever the weights;
    - else: the channel statistics of the training split.

    Args:
        options: backbone, weights and `preprocessing`.
        channel_mean: mean of R, G and B over the training split, in 0–255.
        channel_std: standard deviation of the same.
        of_source: what the model that weights are taken from does; None where there is none.

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
    if options.preprocessing == "auto" and of_source is not None:
        return of_source
    if as_it_is or options.preprocessing == "none":
        return AS_IT_IS
    expected_by_weights = options.preprocessing == "auto" and weights_kind(options) in ("imagenet", "backbone")
    mean, std, is_bgr = tuple(channel_mean), tuple(max(each, 1.0) for each in channel_std), False
    if expected_by_weights and is_application(options.backbone):
        mean, std, is_bgr = expected_input(options.backbone)
    elif expected_by_weights and options.backbone == EFFICIENTNET_LITE0:
        mean, std, is_bgr = EXPECTED_INPUT
    return Preparation(mean, tuple(each**2 for each in std), is_bgr)


def preprocessing(keras: ModuleType, prepared: Preparation) -> Any:
    """Return a model named `preprocess`, for images of any size.

    Args:
        keras: the Keras of the backbone.
        prepared: what it does.
    """
    inputs = keras.layers.Input((None, None, 3))
    if prepared == AS_IT_IS:
        return keras.Model(inputs, keras.layers.Activation("linear")(inputs), name="preprocess")
    images = tf.reverse(inputs, [3]) if prepared.is_bgr else inputs
    normalize = keras.layers.Normalization(mean=list(prepared.mean), variance=list(prepared.variance), dtype="float32")
    return keras.Model(inputs, normalize(images), name="preprocess")
