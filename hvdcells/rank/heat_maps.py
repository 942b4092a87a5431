"""Where in an image a model finds a class: Grad-CAM, and occlusion as the check that needs no layer.

What is explained are the log-odds of a class against all others, z_c − log Σ exp(z of the others): of two classes the
difference of their logits, whichever of them the model leaves at zero.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from hvdcells.images.decode import Pixels
from hvdcells.rank.models.averaged import of_two_classes
from hvdcells.rank.models.either_keras import inner_layers
from hvdcells.rank.models.weights import backbone_of

Maps = NDArray[np.float32]

CELLS = 8
"""Occlusion covers one of 8 × 8 cells at a time, and half a cell around it."""
NO_FEATURE_MAP = (
    "no layer of the backbone gives features of several places (batch, height, width, channels) that the logits "
    "depend on; occlusion needs none"
)


class NoFeatureMapError(Exception):
    """There is nothing that Grad-CAM could read; the message says why."""


def grad_cam(model: Any, images: Pixels, labels: Sequence[int]) -> tuple[Maps, str]:
    """Return Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391) on the last features that have places.

    These are searched for in what the backbone computes: the last output (batch, height, width, channels) of a layer,
    other than pooling, that the logits depend on. So it is found in any backbone, whatever its layers are called.

    Args:
        model: a classifier, as `build_model` makes them.
        images: RGB uint8 of shape (n, size, size, 3).
        labels: the class to explain, by image.

    Returns:
        Maps of shape (n, size, size) from 0 to 1, the largest value of each 1 unless nothing speaks for the class; and
        the name of the layer.

    Raises:
        NoFeatureMapError: the model has none.
    """
    with tf.GradientTape(persistent=True) as tape, _recorded(backbone_of(model)) as seen:
        inputs = tf.cast(images, tf.float32)
        tape.watch(inputs)
        odds = _log_odds(of_two_classes(model(inputs, training=False)), labels)
    for name, features in reversed(seen):
        gradient = tape.gradient(odds, features)
        if gradient is not None:
            weights = tf.reduce_mean(tf.cast(gradient, tf.float32), axis=(1, 2), keepdims=True)
            maps = tf.nn.relu(tf.reduce_sum(weights * tf.cast(features, tf.float32), axis=3))
            return _scaled(maps.numpy(), images.shape[1]), name
    raise NoFeatureMapError(NO_FEATURE_MAP)


def occlusion(forward: Callable[[Pixels], NDArray[np.float32]], images: Pixels, labels: Sequence[int]) -> Maps:
    """Return how much of a class is lost where a part of the image is covered (Zeiler and Fergus 2014).

    Args:
        forward: from RGB uint8 (n, size, size, 3) to logits (n, classes), for any n.
        images: RGB uint8 of shape (n, size, size, 3).
        labels: the class to explain, by image.

    Returns:
        Maps as those of `grad_cam`. A part is covered by the mean colour of its image; what raises the class counts 0.
    """
    edges = np.linspace(0, images.shape[1], CELLS + 1)
    half = images.shape[1] / CELLS / 2
    found = np.zeros((len(images), CELLS, CELLS), np.float32)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        covered = np.repeat(image[None], CELLS * CELLS + 1, axis=0)
        color = image.mean(axis=(0, 1)).round().astype(np.uint8)
        for place in range(CELLS * CELLS):
            spans = [edges[[at, at + 1]] + (-half, half) for at in divmod(place, CELLS)]
            rows, columns = (slice(max(0, round(low)), round(high)) for low, high in spans)
            covered[place, rows, columns] = color
        odds = _log_odds(tf.constant(forward(covered)), [label] * len(covered)).numpy()
        found[number] = np.maximum(odds[-1] - odds[:-1], 0).reshape(CELLS, CELLS)
    return _scaled(found, images.shape[1])


def _log_odds(logits: tf.Tensor, labels: Sequence[int]) -> tf.Tensor:
    chosen = tf.one_hot(labels, logits.shape[1], on_value=True, off_value=False)
    others = tf.where(chosen, tf.constant(-np.inf, logits.dtype), logits)
    return tf.boolean_mask(logits, chosen) - tf.reduce_logsumexp(others, axis=1)


@contextmanager
def _recorded(backbone: Any) -> Iterator[list[tuple[str, tf.Tensor]]]:
    """Note what the layers of a model give that has several places, in the order of their calls, and change nothing."""
    seen: list[tuple[str, tf.Tensor]] = []
    once = dict.fromkeys(inner_layers(backbone))  # a layer may be used several times
    layers = [layer for layer in once if "Pooling" not in type(layer).__name__]

    def recording(layer: Any, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **named: Any) -> Any:
            given = call(*args, **named)
            if tf.is_tensor(given) and len(given.shape) == 4 and given.shape[1] * given.shape[2] > 1:
                seen.append((layer.name, given))
            return given

        return noted

    for layer in layers:
        layer.call = recording(layer, layer.call)
    try:
        yield seen
    finally:
        for layer in layers:
            del layer.call


def _scaled(maps: Maps, size: int) -> Maps:
    wide = np.stack([cv2.resize(each, (size, size), interpolation=cv2.INTER_LINEAR) for each in maps])
    largest = wide.max(axis=(1, 2), keepdims=True)
    scaled: Maps = np.divide(wide, largest, out=np.zeros_like(wide), where=largest > 0)
    return scaled
