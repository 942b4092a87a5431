"""A run's model as a function of arrays. This is where prediction imports TensorFlow."""

from contextlib import suppress
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from hvdcells.experiment import Experiment
from hvdcells.images.decode import Pixels
from hvdcells.rank.explain import grad_cams, occlusions
from hvdcells.rank.heat_maps import Maps
from hvdcells.rank.models.averaged import load_models
from hvdcells.rank.prediction import Predictor
from hvdcells.rank.start import pin_gpu
from hvdcells.runs.directory import RunDirectory


class LoadedModels:
    """A run's models as `evaluate` applies them.

    Args:
        models: one, or several whose probabilities are averaged.
        num_views: of each image that are averaged.
    """

    def __init__(self, models: list[Any], num_views: int) -> None:
        self._models = models
        self._predictor = Predictor(*models, num_views=num_views)

    def forward(self, images: Pixels) -> NDArray[np.float32]:
        """Return the logits (batch, K) of RGB uint8 (batch, size, size, 3)."""
        return self.looks(images)[0]

    def looks(self, images: Pixels) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return the logits, and the features that the head of the first model is given, if any (batch, features)."""
        logits, features = self._predictor.forward(tf.constant(images))
        return np.asarray(logits, np.float32), None if features is None else features.numpy()

    def heat_maps(self, images: Pixels, labels: NDArray[np.int_]) -> tuple[dict[str, Maps], str]:
        """Return the maps (n, size, size) of images by method, and the layer that Grad-CAM read or why it read none."""
        maps, layer, because = grad_cams(self._models, images, labels)
        found = {} if maps is None else {"Grad-CAM": maps}
        return {**found, "occlusion": occlusions(self._models, images, labels)}, layer or because or ""


def load_run(run: RunDirectory, experiment: Experiment, threads: int | None, num_views: int) -> LoadedModels:
    """Load the models of a run.

    Raises:
        UserError: the model cannot be loaded here.
    """
    pin_gpu(0)
    with suppress(RuntimeError):  # in a process that has used TensorFlow before, the threads are what they are
        tf.config.threading.set_intra_op_parallelism_threads(threads or 0)
    tf_keras.mixed_precision.set_global_policy(experiment.training.policy)
    return LoadedModels(load_models(experiment.model, run), num_views)
