"""A run's model as a function of arrays. This is where prediction imports TensorFlow."""

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from hvdcells.experiment import Experiment
from hvdcells.images.decode import Pixels
from hvdcells.rank.models import load_model
from hvdcells.rank.prediction import Predictor
from hvdcells.rank.start import pin_gpu
from hvdcells.runs.directory import RunDirectory


def load_forward(
    run: RunDirectory, experiment: Experiment, threads: int | None
) -> Callable[[Pixels], NDArray[np.float32]]:
    """Return a run's model as `evaluate` applies it: from RGB uint8 (batch, size, size, 3) to its logits (batch, K).

    Raises:
        UserError: the model cannot be loaded here.
    """
    pin_gpu(0)
    with suppress(RuntimeError):  # in a process that has used TensorFlow before, the threads are what they are
        tf.config.threading.set_intra_op_parallelism_threads(threads or 0)
    tf_keras.mixed_precision.set_global_policy(experiment.training.policy)
    forward = Predictor(load_model(experiment.model, run.model)).forward
    return lambda images: np.asarray(forward(tf.constant(images)), np.float32)
