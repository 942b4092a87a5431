"""What `images.prepare` does to an image, as operations of a graph that other runtimes than OpenCV's can compute.

Crop, border and resize of an axis are one matrix, of the shape (out, in): the weights that OpenCV gives each row of the
source. Its sums are of float32 too, in another order, so a value on the edge between two may come out one lower or
higher; tests say how rarely.
"""

from typing import Any

import tensorflow as tf

from hvdcells.images.prepare import ImagePreparation

_CUBIC = -0.75
"""OpenCV's."""
_COEFFICIENTS = 2048.0
"""OpenCV interpolates with whole multiples of one part in so many."""


def prepared(images: tf.Tensor, preparation: ImagePreparation) -> tf.Tensor:
    """Return what the model takes: float32 (n, input_size, input_size, 3) with whole numbers in 0–255.

    Args:
        images: RGB uint8 (n, height, width, 3). Where both sides are `input_size`, they are taken as prepared.
        preparation: of the run.
    """
    size = preparation.input_size
    height, width = tf.unstack(tf.shape(images)[1:3])
    is_prepared = tf.logical_and(tf.equal(height, size), tf.equal(width, size))
    shape = [-1, size, size, 3]
    return tf.cond(
        is_prepared,
        lambda: tf.reshape(tf.cast(images, tf.float32), shape),
        lambda: tf.reshape(_prepare(tf.cast(images, tf.float32), preparation), shape),
    )


def _prepare(images: tf.Tensor, preparation: ImagePreparation) -> tf.Tensor:
    height, width = tf.unstack(tf.shape(images)[1:3])
    side: Any = preparation.crop or tf.minimum(height, width)
    rows, columns = (_weights(preparation.image_size, side, length) for length in (height, width))
    stored = _rounded(_resized(images, rows, columns), tf.equal(side, 2 * preparation.image_size))
    if preparation.input_size == preparation.image_size:
        return stored
    size = preparation.image_size
    again = _weights(preparation.input_size, size, size, grows_by=_linear)
    return _rounded(_resized(stored, again, again), size == 2 * preparation.input_size)


def _weights(out: int, side: Any, length: Any, grows_by: Any = None) -> tf.Tensor:
    """Return the weights (out, length) of an axis.

    Args:
        out: rows of the result.
        side: rows of the square.
        length: rows of the source; of more than the square the middle ones are taken, less have a border around them.
        grows_by: how a square is interpolated that is smaller than the result; None for cubic.
    """
    places = tf.range(length) - tf.maximum(0, length - side) // 2 + tf.maximum(0, side - length) // 2
    by_area, grown = _area(out, side, places), (grows_by or _cubic)(out, side, places)
    return tf.where(side >= out, by_area, grown)


def _area(out: int, side: Any, places: tf.Tensor) -> tf.Tensor:
    """Of INTER_AREA: the share that a source row has of a row of the result, counted in parts of 1 / (out · side)."""
    begin = (tf.range(out) * side)[:, None]
    shared = tf.minimum(begin + side, (places + 1) * out) - tf.maximum(begin, places * out)
    return tf.cast(tf.maximum(shared, 0), tf.float32) / tf.cast(side, tf.float32)


def _cubic(out: int, side: Any, places: tf.Tensor) -> tf.Tensor:
    first, x = _at(out, side)
    near = [((_CUBIC + 2) * each - (_CUBIC + 3)) * each * each + 1 for each in (x, 1 - x)]
    far = ((_CUBIC * (x + 1) - 5 * _CUBIC) * (x + 1) + 8 * _CUBIC) * (x + 1) - 4 * _CUBIC
    return _taps(first - 1, [far, *near, 1 - far - near[0] - near[1]], side, places)


def _linear(out: int, side: Any, places: tf.Tensor) -> tf.Tensor:
    first, x = _at(out, side)
    return _taps(first, [1 - x, x], side, places)


def _at(out: int, side: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the source row before the middle of each row of the result, and how far that is beyond it."""
    middles = (tf.range(out, dtype=tf.float32) + 0.5) * (tf.cast(side, tf.float32) / out) - 0.5
    first = tf.floor(middles)
    return tf.cast(first, tf.int32), middles - first


def _taps(first: tf.Tensor, weights: list[tf.Tensor], side: Any, places: tf.Tensor) -> tf.Tensor:
    """Return weights of neighbouring source rows as a matrix; beyond its edge, a square goes on as it ends."""
    found = 0.0
    for number, weight in enumerate(weights):
        rows = tf.clip_by_value(first + number, 0, side - 1)[:, None]
        exact = tf.round(weight * _COEFFICIENTS)[:, None] / _COEFFICIENTS
        found += tf.where(tf.equal(rows, places), exact, 0.0)
    return found


def _resized(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    count, height, width = tf.unstack(tf.shape(images)[:3])
    new_height, new_width = rows.shape[0], columns.shape[0]
    flat = tf.matmul(rows[None], tf.reshape(images, [count, height, width * 3]))
    turned = tf.transpose(tf.reshape(flat, [count, new_height, width, 3]), [0, 2, 1, 3])
    flat = tf.matmul(columns[None], tf.reshape(turned, [count, width, new_height * 3]))
    return tf.transpose(tf.reshape(flat, [count, new_width, new_height, 3]), [0, 2, 1, 3])


def _rounded(values: tf.Tensor, halves: Any) -> tf.Tensor:
    """Round as OpenCV does: half to even, but upwards where an image is halved."""
    whole = tf.where(halves, tf.floor(values + 0.5), tf.round(values))
    return tf.clip_by_value(whole, 0.0, 255.0)
