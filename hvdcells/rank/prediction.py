"""Predictions of a split over all ranks: every image exactly once."""

from collections.abc import Callable, Iterator
from typing import Any

import horovod.tensorflow as hvd
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from hvdcells.rank.input.batches import PADDING_ROW, Batch
from hvdcells.rank.models.averaged import mean_of_logits, of_two_classes, view
from hvdcells.rank.models.either_keras import keras_of, raw_variables
from hvdcells.rank.models.keras_internals import with_converted_layers
from hvdcells.runs import heartbeat
from hvdcells.runs.image_range import Sample
from hvdcells.scores.image_range import NUM_COLORS, colors_of, sampled_rows


class Predictor:
    """Applies a model to this rank's batches and gathers the logits of all ranks.

    Args:
        models: one, or several whose probabilities are averaged.
        num_views: 1, or 8 for the mean over the symmetries of the square.
    """

    def __init__(self, *models: Any, num_views: int = 1) -> None:
        self._forwards = [_forward(model) for model in models]
        features = features_of(models[0])
        self._num_features = 0 if features is None else int(features.shape[-1])
        self._sampled: list[Sample] = []
        self._num_views = num_views

    def forward(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Return the logits (batch, classes) of images (batch, size, size, 3), of several looks those of their mean.

        Beside them are the features that the head of the first model is given, of the image as it is: float32 (batch,
        features), or None where the model has no head of its own.
        """
        # One view at a time takes no more memory than one look, and one trace of each model.
        seen = [view(images, number) for number in range(self._num_views)]
        looks = [forward(each) for forward in self._forwards for each in seen]
        return mean_of_logits([logits for logits, _ in looks]), looks[0][1]

    def predict(
        self, batches: Iterator[Batch], num_steps: int, num_images: int, *, samples: bool = False
    ) -> NDArray[np.float32]:
        """Return the logits of all images of the split, on every rank: float32 (num_images, classes), in row order.

        Args:
            batches: this rank's batches; `num_steps` of them are taken.
            num_steps: steps of every rank.
            num_images: images of the split over all ranks.
            samples: keep what a range is fitted on, for `gathered_sample`.

        Raises:
            RuntimeError: an image was predicted twice or not at all.
        """
        rows, logits, self._sampled = [], [], []
        of_range = sampled_rows(num_images) if samples else np.empty(0, int)
        for number in range(num_steps):
            heartbeat.at("predicting", step=number + 1, may_be_long=number == 0)
            batch = next(batches)
            rows.append(batch["row"])
            found, features = self.forward(batch["image"])
            logits.append(found)
            chosen = np.flatnonzero(np.isin(np.asarray(batch["row"]), of_range))
            if len(chosen):
                self._sampled.append(_sample_of(batch, features, chosen))
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

    def gathered_sample(self) -> Sample:
        """Return the sample of the last prediction that kept one, of all ranks and on every rank."""
        heartbeat.at("gathering a sample", tensor="sampled_rows, sampled_values")
        none = np.empty((0, NUM_COLORS + self._num_features), np.float32)  # a rank may have no image of the sample
        values = np.concatenate([none, *(np.hstack([part.colors, part.features]) for part in self._sampled)])
        rows = np.concatenate([np.empty(0, np.int64), *(part.rows for part in self._sampled)])
        rows = hvd.allgather(tf.constant(rows), name="sampled_rows").numpy()
        values = hvd.allgather(tf.constant(values), name="sampled_values").numpy()
        return Sample(rows, values[:, :NUM_COLORS], values[:, NUM_COLORS:])


def features_of(model: Any) -> Any:
    """Return, as a symbol, what a classifier's last layer is given; None where a function gives logits itself."""
    return next((layer.output for layer in model.layers if layer.name == "dropout"), None)


def _forward(model: Any) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor | None]]:
    """Return logits and features of images, the same bits whatever the place of an image in its batch.

    A product of all rows at once, as a dense layer takes it, has other last bits for other places on some processors:
    what lies before the head has not. So the head's product is taken image by image.
    """
    given = features_of(model)
    converted = with_converted_layers(model if given is None else keras_of(model).Model(model.inputs, given))
    head = [] if given is None else raw_variables(model.get_layer("logit").weights)

    def forward(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        found = converted(tf.cast(images, tf.float32), training=False)
        if given is None:
            return of_two_classes(found), None
        features, (kernel, bias) = tf.cast(found, tf.float32), head
        return of_two_classes(tf.matmul(features[:, tf.newaxis], kernel)[:, 0] + bias), features

    function: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor | None]] = tf.function(forward, autograph=False)
    return function


def _sample_of(batch: Batch, features: tf.Tensor | None, chosen: NDArray[np.int_]) -> Sample:
    return Sample(
        np.asarray(batch["row"])[chosen],
        colors_of(np.asarray(batch["image"])[chosen]).astype(np.float32),
        np.empty((len(chosen), 0), np.float32) if features is None else features.numpy()[chosen],
    )
