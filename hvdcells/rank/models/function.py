"""Backbones, or whole classifiers, from a function of the user's: `package.module:function`."""

import importlib
import sys
from typing import Any

import tf_keras

from hvdcells.errors import UserError
from hvdcells.rank.models.either_keras import keras_of

EXPECTED = (
    "a function of the input size that returns a tf_keras or Keras 3 model from (batch, size, size, 3) to features "
    "(batch, channels) or (batch, height, width, channels), or to logits: one for each class (batch, classes), or a "
    "single one (batch, 1) where there are two"
)


def model_of_function(name: str, input_size: int) -> Any:
    """Call the function and check what it returns.

    Raises:
        UserError: there is no such function, or it returns no model that fits.
    """
    function = _function(name)
    _share_dtype_policy()
    model = function(input_size)
    try:
        keras_of(model)
    except TypeError as error:
        raise UserError(f"{name} returns {error}", EXPECTED, "correct the function") from None
    given_out = [tuple(each.shape) for each in getattr(model, "outputs", None) or ()]
    if len(given_out) != 1 or len(given_out[0]) not in (2, 4):
        raise UserError(
            f"{name} returns a model of {len(given_out)} outputs: {', '.join(map(str, given_out)) or 'none'}",
            EXPECTED,
            "give one output of one of these shapes",
        )
    given, taken = (None, input_size, input_size, 3), tuple(getattr(model, "input_shape", None) or ())
    if taken and not _fits(given, taken):
        raise UserError(
            f"{name} returns a model of inputs {taken}", f"inputs {given}: {EXPECTED}", "use the input size it is given"
        )
    last = model.layers[-1]
    activation = getattr(getattr(last, "activation", None), "__name__", None)
    if activation == "softmax" or (activation == "sigmoid" and last.output.shape[-1] == 1):
        raise UserError(
            f"{name} ends in a {activation}, in the layer {last.name!r}",
            "logits: the loss is computed from them, and probabilities where they are needed",
            "leave the activation of the last layer out",
        )
    return model


def _fits(given: tuple[int | None, ...], taken: tuple[int | None, ...]) -> bool:
    return len(given) == len(taken) and all(t in (None, g) for g, t in zip(given, taken, strict=True))


def _share_dtype_policy() -> None:
    """Give Keras 3 the policy that `tf_keras` has: float32, or mixed precision."""
    policy = tf_keras.mixed_precision.global_policy().name
    if policy != "float32" or "keras" in sys.modules:
        import keras

        keras.config.set_dtype_policy(policy)


def _function(name: str) -> Any:
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ModuleNotFoundError, AttributeError) as error:
        raise UserError(
            f"model.backbone={name}: {error}",
            EXPECTED,
            "correct the name, or name the module's folder: PYTHONPATH=FOLDER here, spark.submit.pyFiles on a cluster",
        ) from error
