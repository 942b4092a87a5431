"""Building a classifier: preprocessing → backbone → head, with fresh or given weights."""

import re
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import tf_keras

from hvdcells.errors import UserError
from hvdcells.experiment import Model
from hvdcells.experiment.backbones import EFFICIENTNET_LITE0, IMAGENET, SMALL_CNN, is_function, weights_kind
from hvdcells.rank.models.applications import application
from hvdcells.rank.models.efficientnet_lite import efficientnet_lite0
from hvdcells.rank.models.either_keras import keras_of
from hvdcells.rank.models.function import EXPECTED, model_of_function
from hvdcells.rank.models.lite_weights import load_imagenet_weights
from hvdcells.rank.models.preprocessing import Preparation, preparation, preprocessing
from hvdcells.rank.models.saved import SavedModel, open_saved
from hvdcells.rank.models.small_cnn import small_cnn
from hvdcells.rank.models.weights import copy_weights, load_backbone_weights
from hvdcells.runs.first_weights import model_location


def build_model(
    options: Model,
    input_size: int,
    channel_mean: Sequence[float],
    channel_std: Sequence[float],
    seed: int,
    *,
    num_classes: int = 2,
    load_weights: bool = True,
) -> Any:
    """Build the classifier. A saved one takes images as they are: its first layer prepares them.

    Args:
        options: which backbone, weights and preprocessing.
        input_size: side of the images, in pixels.
        channel_mean: mean of R, G and B over the training split, in 0–255.
        channel_std: standard deviation of the same.
        seed: of the initial weights.
        num_classes: logits it is to give.
        load_weights: False on ranks that get their weights from rank 0: they need no download.

    Returns:
        A `tf_keras` or Keras 3 model from (batch, input_size, input_size, 3) to float32 logits of shape (batch,
        num_classes). Its parts are the models `preprocess` and the backbone, then `dropout` and `logit`.

    Raises:
        UserError: the backbone does not fit the input, or the weights do not fit the backbone or are not to be had.
    """
    kind, weights = weights_kind(options), options.weights or ""  # none are of the kind "none"
    with open_saved(model_location(weights)) if kind == "model" else nullcontext() as saved:
        of_source = saved.layers.preparation if saved else None
        source = _as_saved(options, saved) if saved and load_weights else None
    tf_keras.utils.set_random_seed(seed)
    backbone = _backbone(options, input_size, imagenet=load_weights and kind == IMAGENET)
    prepared = preparation(options, channel_mean, channel_std, of_source)
    model = _assemble(backbone, options, input_size, prepared, num_classes)
    if load_weights and kind == "backbone":
        load_backbone_weights(backbone, weights)
    told = copy_weights(source, model, weights) if source is not None else None
    if told:  # on rank 0 alone
        print(told, flush=True)  # noqa: T201 - a rank's stdout is what Horovod hands to the driver
    return model


def load_model(options: Model, location: str) -> Any:
    """Build the model of a file that `hvdcells train` has saved; its weights are the file's.

    Args:
        options: with which it was built.
        location: of the file.

    Returns:
        A model as that of `build_model`.

    Raises:
        UserError: there is no such file, or it is of another model.
    """
    with open_saved(location) as saved:
        return _as_saved(options, saved)


def _as_saved(options: Model, saved: SavedModel) -> Any:
    layers = saved.layers
    options = options if layers.dropout is None else options.model_copy(update={"dropout": layers.dropout})
    backbone = _backbone(options, layers.input_size, imagenet=False)
    num_logits = layers.num_logits or backbone.output_shape[-1]
    model = _assemble(backbone, options, layers.input_size, layers.preparation, num_logits)
    saved.load_into(model)
    return model


def _assemble(backbone: Any, options: Model, input_size: int, prepared: Preparation, num_logits: int) -> Any:
    keras = keras_of(backbone)
    inputs = keras.layers.Input((input_size, input_size, 3), name="image")
    try:
        features = backbone(preprocessing(keras, prepared)(inputs))
        head = _head(keras, features, options, num_logits)
        return keras.Model(inputs, head, name=re.sub(r"\W", "_", options.backbone))
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{options.backbone} does not take images of {input_size}×{input_size}: {error}",
            EXPECTED,
            "change data.input_size or model.backbone",
        ) from error


def _backbone(options: Model, input_size: int, imagenet: bool) -> Any:
    if options.backbone == SMALL_CNN:
        return small_cnn(options, input_size)
    if options.backbone == EFFICIENTNET_LITE0:
        backbone = efficientnet_lite0(input_size)
        if imagenet:
            load_imagenet_weights(backbone)
        return backbone
    if is_function(options.backbone):
        return model_of_function(options.backbone, input_size)
    return application(options, input_size, imagenet)


def _head(keras: Any, features: Any, options: Model, num_classes: int) -> Any:
    """From features to the logits, which are float32 under mixed precision too: a float16 loss overflows."""
    is_whole = is_function(options.backbone) and (features.shape[-1] == 1 or features.shape[1:] == (num_classes,))
    if len(features.shape) == 4:
        features = keras.layers.GlobalAveragePooling2D(name="average")(features)
    if not is_whole:
        features = keras.layers.Dropout(options.dropout, name="dropout")(features)
        return keras.layers.Dense(num_classes, dtype="float32", name="logit")(features)
    if features.shape[-1] == num_classes:
        return keras.layers.Activation("linear", dtype="float32", name="logit")(features)
    if num_classes > 2:
        raise UserError(
            f"{options.backbone} gives one logit, where there are {num_classes} classes",
            EXPECTED,
            "correct the function",
        )
    # One logit z tells two classes apart as the logits (0, z) do.
    single = keras.layers.Reshape((1, 1), dtype="float32", name="single")(features)
    padded = keras.layers.ZeroPadding1D((1, 0), dtype="float32", name="padded")(single)
    return keras.layers.Reshape((2,), dtype="float32", name="logit")(padded)
