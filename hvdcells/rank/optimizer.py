"""The optimizer."""

import tensorflow as tf
import tf_keras

from hvdcells.experiment import Optimizer


def build_optimizer(
    options: Optimizer, mixed_precision: bool, variables: list[tf.Variable]
) -> tf_keras.optimizers.Optimizer:
    """Build the `tf_keras` optimizer of these variables; the step sets its learning rate.

    Weight decay leaves out variables of fewer than two dimensions: biases, and the scales and shifts of normalisation.
    XLA stays off: slower on CPU (measured).
    """
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
