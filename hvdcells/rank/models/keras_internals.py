"""All that reaches into Keras, whose public names do not tell these things; nothing else may use its private ones.

`tests/hvdcells/rank/models/test_keras_internals.py` fails where one of them no longer works, or is no longer needed.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras


def loss_scale_variables(optimizer: tf_keras.optimizers.Optimizer) -> list[tf.Variable]:
    """Return the loss scale and the steps since it changed; none but of a `LossScaleOptimizer`.

    It does not list them among its variables, and a run that goes on without them would scale anew.
    """
    if not isinstance(optimizer, tf_keras.mixed_precision.LossScaleOptimizer):
        return []
    state = optimizer._loss_scale
    return [state.current_loss_scale, state.counter]


def random_generators(model: Any) -> list[tf.random.Generator]:
    """Return the generators of a model's random layers, in the order of the layers.

    A `tf_keras` layer holds its own out of reach, and not among its variables as Keras 3 does, which has none here.
    """
    holders = [getattr(layer, "_random_generator", None) for layer in getattr(model, "submodules", ())]
    generators = [getattr(holder, "_generator", None) for holder in holders]
    return [generator for generator in generators if generator is not None]


def has_random_layers(model: tf_keras.Model) -> bool:
    """Whether a `tf_keras` model has layers that draw at random in training, such as dropout: also where frozen."""
    return any(hasattr(layer, "_random_generator") for layer in model.submodules)


def with_converted_layers(model: Any) -> Callable[..., tf.Tensor]:
    """Return a model to call inside a `tf.function` without AutoGraph, which then converts the user's layers alone.

    Control flow on tensors is what AutoGraph converts: a user's layer may have some, and nothing else has. Keras has
    it converted in each layer that is not its own, unless the `tf.function` around the call has AutoGraph off; there
    is no other way to have it off for that function's own code, whose conversion is most of the tracing: 2 s of 2.5 s
    for the small CNN.
    """
    autograph = tf.__internal__.autograph
    converted: Callable[..., Any] = autograph.tf_convert(model, autograph.control_status_ctx())
    return converted
