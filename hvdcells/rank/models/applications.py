"""Backbones of `tf_keras.applications`, by name, and the input each of them expects."""

import importlib
import inspect
import socket
from typing import Any

import numpy as np
import tf_keras

from hvdcells.errors import UserError
from hvdcells.experiment import Model
from hvdcells.experiment.backbones import application_names

NO_WEIGHTS_REMEDY = (
    "give the workers access to the network, or put the file into ~/.keras/models of the machine rank 0 runs on (see "
    "docs/models.md), or set model.weights to a weights file"
)

DOWNLOAD_SILENCE_SECONDS = 10.0
"""How long a server may be silent while weights are downloaded."""


def application(options: Model, input_size: int, imagenet: bool) -> tf_keras.Model:
    """Build a backbone with random or with ImageNet weights.

    Returns:
        A model from (batch, input_size, input_size, 3) to features of shape (batch, channels).

    Raises:
        UserError: it is not made for this input size or width, or its weights cannot be downloaded.
    """
    build = getattr(tf_keras.applications, application_names()[options.backbone])
    arguments: dict[str, Any] = {"input_shape": (input_size, input_size, 3), "include_top": False, "pooling": "avg"}
    if "alpha" in inspect.signature(build).parameters:
        arguments["alpha"] = options.width
    waited_seconds = socket.getdefaulttimeout()
    try:
        # Keras waits without end for a network that swallows everything, as a subnet without a way out does.
        socket.setdefaulttimeout(DOWNLOAD_SILENCE_SECONDS if imagenet else waited_seconds)
        return build(weights="imagenet" if imagenet else None, **arguments)
    except ValueError as error:
        raise UserError(
            f"{options.backbone} cannot be built for {input_size}×{input_size} and width {options.width:g}: {error}",
            "an input size and a width that this backbone is made for",
            "change data.input_size, model.width or model.backbone",
        ) from error
    except Exception as error:
        # What Keras raises when a download fails is a plain Exception.
        if not imagenet:
            raise
        raise UserError(
            f"the ImageNet weights of {options.backbone} are not on this machine and could not be downloaded: {error}",
            "a machine that Keras can download them to, once",
            NO_WEIGHTS_REMEDY,
        ) from error
    finally:
        socket.setdefaulttimeout(waited_seconds)


def rescales_inside(backbone: str) -> bool:
    """Whether an application takes images as they are, 0–255, and rescales them in its own first layers."""
    return expected_input(backbone) == ((0.0,) * 3, (1.0,) * 3, False)


def expected_input(backbone: str) -> tuple[tuple[float, ...], tuple[float, ...], bool]:
    """Return what the ImageNet weights of an application expect, as (mean, standard deviation, BGR).

    An image, RGB or BGR in 0–255, enters as (image − mean) / standard deviation, by channel. That is what the
    application's `preprocess_input` computes; it is asked, since its operations cannot be saved with a model.
    """
    build = getattr(tf_keras.applications, application_names()[backbone])
    preprocess = importlib.import_module(build.__module__).preprocess_input
    colors = [0, 0, 0], [255, 255, 255], [255, 0, 0]
    black, white, red = (preprocess(np.array([[color]], np.float32))[0, 0] for color in colors)
    std = 255 / (white - black)
    mean = -black * std
    is_bgr = bool(red[0] == black[0])
    return tuple(mean.tolist()), tuple(std.tolist()), is_bgr
