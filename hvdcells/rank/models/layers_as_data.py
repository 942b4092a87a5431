"""What a model file says of its layers, read as data: nothing that it names is looked up, imported or made."""

import math
from dataclasses import dataclass
from typing import Any

from hvdcells.data.columns import LARGEST_IMAGE_SIZE
from hvdcells.rank.models.preprocessing import AS_IT_IS, Preparation

MOST_LOGITS = 10_000


@dataclass(frozen=True)
class SavedLayers:
    """What has to be known of a saved classifier to build it again: the rest is in the experiment."""

    input_size: int
    preparation: Preparation
    dropout: float | None
    """Before the last layer; None for a whole classifier of the user's."""
    num_logits: int | None
    """That the last layer gives; None for as many as a whole classifier of the user's gives."""


def layers_in(config: Any) -> SavedLayers:
    """Return what the description of a classifier (`config.json` of a `.keras` file) says.

    Raises:
        ValueError: it is not the description of a classifier of this project.
    """
    layers = _layers(config)
    if "preprocess" not in layers or "logit" not in layers:
        raise ValueError("it has no layers 'preprocess' and 'logit': it is no classifier of this project")
    logit, dropout = layers["logit"], layers.get("dropout")
    if logit.get("activation", "linear") != "linear":
        raise ValueError("its last layer gives no logits")
    return SavedLayers(
        input_size=_input_size(layers),
        preparation=_preparation(_layers(layers["preprocess"])),
        dropout=None if dropout is None else _number(dropout.get("rate"), 0, 1),
        num_logits=_num_logits(logit),
    )


def _num_logits(logit: dict[str, Any]) -> int | None:
    match logit:
        case {"class_name": "Dense", "units": units}:
            return int(_number(units, 1, MOST_LOGITS))
        case {"class_name": "Reshape", "target_shape": [2]}:  # (0, z), of one logit z
            return 2
        case {"class_name": "Activation"}:
            return None
    raise ValueError("its last layer is none that this version builds")


def _layers(config: Any) -> dict[str, dict[str, Any]]:
    """Return the layers of a model by name, each with its configuration and its class' name as `class_name`."""
    config = config.get("config", config) if isinstance(config, dict) else None
    found = config.get("layers") if isinstance(config, dict) else None
    if not isinstance(found, list) or not all(isinstance(layer, dict) for layer in found):
        raise ValueError("its description has no layers")
    named: dict[str, dict[str, Any]] = {}
    for layer in found:
        own = layer.get("config")
        if not isinstance(own, dict) or not isinstance(own.get("name"), str) or own["name"] in named:
            raise ValueError("its description has layers without a name of their own")
        named[own["name"]] = {**own, "class_name": layer.get("class_name")}
    return named


def _input_size(layers: dict[str, dict[str, Any]]) -> int:
    # Under these two names by `tf_keras` and Keras 3.
    images = layers.get("image", {})
    shape = images.get("batch_input_shape", images.get("batch_shape"))
    match shape:
        case [None, int(height), int(width), 3] if height == width and 0 < height <= LARGEST_IMAGE_SIZE:
            return height
    raise ValueError(f"it takes no images: its input has the shape {str(shape)[:50]}")


def _preparation(layers: dict[str, dict[str, Any]]) -> Preparation:
    """Return what the layers of the model `preprocess` do: one of the three things that `preprocessing` builds."""
    steps = [layer for layer in layers.values() if layer["class_name"] != "InputLayer"]
    match [(step["class_name"], step) for step in steps]:
        case [("Activation", {"activation": "linear"})]:
            return AS_IT_IS
        case [("Normalization", normalize)]:
            is_bgr = False
        case [("TFOpLambda", {"function": "reverse"}), ("Normalization", normalize)]:
            is_bgr = True
        case _:
            raise ValueError("its layer 'preprocess' does something that this version does not build")
    if normalize.get("axis") != [-1] or normalize.get("invert"):
        raise ValueError("its layer 'preprocess' normalises other axes than the channels")
    return Preparation(
        tuple(_number(value, -1, 256) for value in _by_channel(normalize.get("mean"))),
        tuple(_number(value, 1e-6, 256**2) for value in _by_channel(normalize.get("variance"))),
        is_bgr,
    )


def _by_channel(values: Any) -> list[Any]:
    if not isinstance(values, list) or len(values) != 3:
        raise ValueError("its layer 'preprocess' has no mean and variance by channel")
    return values


def _number(value: Any, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{str(value)[:50]!r} stands where a number is expected")
    if not least <= value <= most:
        raise ValueError(f"{value} stands where {least} to {most} is expected")
    return value
