"""Several looks at an image, averaged: by the models of an ensemble, and at the eight symmetries of the square.

What is averaged are probabilities. The logarithm of their mean stands for the logits of one model: its softmax is that
mean, so whatever takes logits takes these.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from hvdcells.experiment import Model
from hvdcells.rank.models.classifier import load_model
from hvdcells.runs.directory import RunDirectory


def load_models(options: Model, run: RunDirectory) -> list[Any]:
    """Build the models of a run with their weights: one, or those of an ensemble.

    Raises:
        UserError: a file is missing, or of another model.
    """
    return [load_model(options, location) for location in run.models()]


def view(images: tf.Tensor, number: int) -> tf.Tensor:
    """Return one of eight symmetries of images (batch, size, size, 3): quarter turns, from 4 on of mirror images."""
    turned = tf.reverse(images, [2]) if number >= 4 else images
    if number % 4 == 1:
        return tf.reverse(tf.transpose(turned, [0, 2, 1, 3]), [1])
    if number % 4 == 2:
        return tf.reverse(turned, [1, 2])
    if number % 4 == 3:
        return tf.reverse(tf.transpose(turned, [0, 2, 1, 3]), [2])
    return turned


def mean_of_logits(logits: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return the logarithm of the mean probabilities of logits (batch, classes)."""
    if len(logits) == 1:
        return logits[0]
    log_probabilities = tf.stack([tf.nn.log_softmax(each) for each in logits])
    return tf.reduce_logsumexp(log_probabilities, axis=0) - math.log(len(logits))


def of_two_classes(logits: tf.Tensor) -> tf.Tensor:
    """Return logits (batch, classes); the one logit z of a model that an earlier version has saved is (0, z)."""
    return tf.pad(logits, [[0, 0], [1, 0]]) if logits.shape[-1] == 1 else logits


def averaged(models: Sequence[Any], num_views: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return all of it as one function, to be made one graph of, as an export is.

    Args:
        models: from float32 (batch, size, size, 3) to logits (batch, classes).
        num_views: 1 or 8.

    Returns:
        A function with the same arguments and results. Each model is in its graph once: the views go through it as one
        batch, so it takes the memory of `num_views` images for each.
    """

    def forward(images: tf.Tensor) -> tf.Tensor:
        seen = tf.concat([view(images, number) for number in range(num_views)], axis=0) if num_views > 1 else images
        found = [of_two_classes(model(seen, training=False)) for model in models]
        return mean_of_logits([part for logits in found for part in tf.split(logits, num_views)])

    return forward
