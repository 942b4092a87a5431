"""First weights from files: of a whole model of this project, or of a backbone."""

import tempfile
from pathlib import Path
from typing import Any

from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.rank.models.hdf5 import BYTES_PER_WEIGHT, HDF5_SLACK_BYTES, check_hdf5


def backbone_of(model: Any) -> Any:
    """Return the model inside a classifier that turns preprocessed images into features."""
    return next(layer for layer in model.layers if hasattr(layer, "layers") and layer.name != "preprocess")


def copy_weights(source: Any, model: Any, location: str) -> str | None:
    """Copy the backbone and, if it has the same shape, the head of one classifier to another.

    Returns:
        What the user should know of a head that begins anew, because it is for another number of classes.

    Raises:
        UserError: the backbones differ.
    """
    _check_shapes(backbone_of(source), backbone_of(model), location)
    backbone_of(model).set_weights(backbone_of(source).get_weights())
    heads = [each.get_layer("logit") for each in (source, model)]
    if [w.shape for w in heads[0].get_weights()] == [w.shape for w in heads[1].get_weights()]:
        heads[1].set_weights(heads[0].get_weights())
        return None
    given, wanted = (each.output_shape[-1] for each in (source, model))
    return (
        f"The model of {location} gives {given} logit(s) an image, this one {wanted}, one for each class: the backbone "
        "goes on from its weights, the head begins anew."
    )


def _check_shapes(source: Any, target: Any, location: str) -> None:
    given, expected = ([tuple(weight.shape) for weight in model.weights] for model in (source, target))
    if given == expected:
        return
    if len(given) != len(expected):
        difference = f"it has {len(given)} arrays of weights where the model has {len(expected)}"
    else:
        index = next(i for i, pair in enumerate(zip(given, expected, strict=True)) if pair[0] != pair[1])
        difference = f"{target.weights[index].name} is {given[index]} there and {expected[index]} in the model"
    raise UserError(
        f"the weights of {location} do not fit: {difference}",
        "weights of the same backbone, with the same width and normalization",
        "set model.backbone, model.width and model.normalization as they were where the weights come from",
    )


def load_backbone_weights(backbone: Any, location: str) -> None:
    """Load a weights file (`.h5`, `.weights.h5`) into a backbone.

    Raises:
        UserError: the file is no weights file, or of another backbone.
    """
    with tempfile.TemporaryDirectory() as folder:
        # Keras tells the format by the name.
        aside = Path(folder) / location.rpartition("/")[2]
        aside.write_bytes(storage.read_bytes(location))
        try:
            check_hdf5(aside, most_bytes=BYTES_PER_WEIGHT * backbone.count_params() + HDF5_SLACK_BYTES)
            backbone.load_weights(aside)
        except Exception as error:  # h5py and Keras raise whatever they meet first
            raise UserError(
                f"the weights file {location} does not fit the backbone {backbone.name}: {error}",
                "weights of this backbone without its top layer, saved by Keras as .h5",
                "name another file, or set model.backbone and model.width as they were where the file comes from",
            ) from error
