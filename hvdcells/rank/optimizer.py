"""The optimizer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf
import tf_keras

from hvdcells.experiment import Optimizer


def build_optimizer(
    options: Optimizer, scales_loss: bool, variables: list[tf.Variable], ema_decay: float | None = None
) -> tf_keras.optimizers.Optimizer:
    """Build the `tf_keras` optimizer of these variables; the step sets its learning rate.

    With `ema_decay`, it keeps an average of the variables among its own (see `averaged_weights`).

    Weight decay leaves out variables of fewer than two dimensions: biases, and the scales and shifts of normalisation.
    XLA stays off: slower on CPU (measured).
    """
    common: dict[str, Any] = {"jit_compile": False}
    if ema_decay is not None:
        common |= {"use_ema": True, "ema_momentum": ema_decay}
    if options.name == "sgd":
        optimizer = tf_keras.optimizers.SGD(
            momentum=options.momentum, weight_decay=options.weight_decay or None, **common
        )
    elif options.name == "adam":
        optimizer = tf_keras.optimizers.Adam(**common)
    else:
        optimizer = tf_keras.optimizers.AdamW(weight_decay=options.weight_decay, **common)
    optimizer.exclude_from_weight_decay(var_list=[variable for variable in variables if len(variable.shape) < 2])
    optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer) if scales_loss else optimizer
    optimizer.build(variables)
    return optimizer


@contextmanager
def averaged_weights(optimizer: tf_keras.optimizers.Optimizer, variables: list[tf.Variable]) -> Iterator[None]:
    """Set variables to their moving averages while inside; without `ema_decay`, leave them as they are."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not optimizer.use_ema:
        yield
        return
    own = [variable.numpy() for variable in variables]
    optimizer.finalize_variable_values(variables)
    try:
        yield
    finally:
        for variable, value in zip(variables, own, strict=True):
            variable.assign(value)
