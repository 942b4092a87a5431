"""The optimizer and its learning rate."""

import math
from typing import TYPE_CHECKING

from hvdcells.experiment import REFERENCE_GLOBAL_BATCH, Optimizer

if TYPE_CHECKING:
    import tensorflow as tf


def scaled_learning_rate(learning_rate: float, global_batch: int) -> float:
    """Scale a rate given for a global batch of 256 linearly to another (Goyal et al. 2017, arXiv 1706.02677)."""
    return learning_rate * global_batch / REFERENCE_GLOBAL_BATCH


def learning_rate_at(options: Optimizer, progress_epochs: float, num_epochs: int, global_batch: int) -> float:
    """Return the learning rate at a point of the run.

    Args:
        options: base rate, warm-up and schedule.
        progress_epochs: epochs done, with fraction.
        num_epochs: epochs of the whole run.
        global_batch: images per update over all ranks.

    Returns:
        During warm-up a linear rise from zero to the scaled rate; then the scaled rate, or its cosine decay to
        zero (Loshchilov and Hutter 2017, arXiv 1608.03983, without restarts).
    """
    peak = scaled_learning_rate(options.learning_rate, global_batch)
    warmup = min(options.warmup_epochs, num_epochs)
    if progress_epochs < warmup:
        return peak * progress_epochs / warmup
    if options.schedule == "constant" or num_epochs == warmup:
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * (progress_epochs - warmup) / (num_epochs - warmup)))


def build_optimizer(options: Optimizer, mixed_precision: bool, variables: "list[tf.Variable]") -> object:
    """Build the `tf_keras` optimizer of these variables; the step sets its learning rate.

    Weight decay leaves out variables of fewer than two dimensions: biases, and the scales and shifts of normalisation.
    XLA stays off: slower on CPU (measured).
    """
    import tf_keras

    if options.name == "sgd":
        optimizer = tf_keras.optimizers.SGD(
            momentum=options.momentum, weight_decay=options.weight_decay or None, jit_compile=False
        )
    elif options.name == "adam":
        optimizer = tf_keras.optimizers.Adam(jit_compile=False)
    else:
        optimizer = tf_keras.optimizers.AdamW(weight_decay=options.weight_decay, jit_compile=False)
    optimizer.exclude_from_weight_decay(var_list=[variable for variable in variables if len(variable.shape) < 2])
    optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer) if mixed_precision else optimizer
    optimizer.build(variables)
    return optimizer
