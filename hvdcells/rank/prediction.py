"""Predictions of a split over all ranks: every image exactly once."""

from collections.abc import Iterator
from typing import Any

import horovod.tensorflow as hvd
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from hvdcells.rank.input.batches import PADDING_ROW, Batch
from hvdcells.rank.models.keras_internals import with_converted_layers
from hvdcells.runs import heartbeat


class Predictor:
    """Applies a model to this rank's batches and gathers the logits of all ranks."""

    def __init__(self, model: Any) -> None:
        converted = with_converted_layers(model)
        self.forward = tf.function(
            lambda images: of_two_classes(converted(tf.cast(images, tf.float32), training=False)), autograph=False
        )

    def predict(self, batches: Iterator[Batch], num_steps: int, num_images: int) -> NDArray[np.float32]:
        """Return the logits of all images of the split, on every rank: float32 (num_images, classes), in row order.

        Args:
            batches: this rank's batches; `num_steps` of them are taken.
            num_steps: steps of every rank.
            num_images: images of the split over all ranks.

        Raises:
            RuntimeError: an image was predicted twice or not at all.
        """
        rows, logits = [], []
        for number in range(num_steps):
            heartbeat.at("predicting", step=number + 1, may_be_long=number == 0)
            batch = next(batches)
            rows.append(batch["row"])
            logits.append(self.forward(batch["image"]))
        rows, logits = tf.concat(rows, 0), tf.concat(logits, 0)
        real = rows != PADDING_ROW
        heartbeat.at("gathering predictions", tensor="predicted_rows, predicted_logits")
        rows = hvd.allgather(rows[real], name="predicted_rows").numpy()
        logits = hvd.allgather(logits[real], name="predicted_logits").numpy()
        if not np.array_equal(np.sort(rows), np.arange(num_images)):
            distinct = len(set(rows.tolist()))
            raise RuntimeError(f"{len(rows)} predictions of {distinct} images, where there are {num_images} images")
        heartbeat.at("scoring predictions", may_be_long=True)
        ordered = np.empty((num_images, logits.shape[1]), np.float32)
        ordered[rows] = logits
        return ordered


def of_two_classes(logits: tf.Tensor) -> tf.Tensor:
    """Return logits (batch, classes); the one logit z of a model that an earlier version has saved is (0, z)."""
    return tf.pad(logits, [[0, 0], [1, 0]]) if logits.shape[-1] == 1 else logits
