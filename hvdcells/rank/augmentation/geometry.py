"""How a cell lies in its image: mirrored, turned, nearer or farther."""

import math

import tensorflow as tf

from hvdcells.experiment import Augmentation


def flip_and_turn(images: tf.Tensor, options: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Mirror and turn by quarters, each with probability ½: together all eight symmetries of the square.

    Args:
        images: (batch, size, size, 3) of any type, which is kept.
        options: `flips` and `quarter_turns`.
        seed: int32 (2,).
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
    batch = tf.shape(images)[0]
    if options.flips:
        images = tf.where(_coin(seeds[0], batch), tf.reverse(images, [2]), images)
        images = tf.where(_coin(seeds[1], batch), tf.reverse(images, [1]), images)
    if options.quarter_turns:
        turned = tf.reverse(tf.transpose(images, [0, 2, 1, 3]), [1])
        images = tf.where(_coin(seeds[2], batch), turned, images)
        if not options.flips:  # with flips, a half turn is two of them
            images = tf.where(_coin(seeds[0], batch), tf.reverse(images, [1, 2]), images)
    return images


def rotate_and_scale(images: tf.Tensor, options: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Turn every image by an angle from ± `rotation_degrees` and enlarge it by a factor from 1 ± `scale`.

    Args:
        images: float32 (batch, size, size, 3).
        options: the two bounds.
        seed: int32 (2,).
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    batch, bound = tf.shape(images)[0], math.radians(options.rotation_degrees)
    angles = tf.random.stateless_uniform((batch,), seeds[0], -bound, bound)
    factors = tf.random.stateless_uniform((batch,), seeds[1], 1 - options.scale, 1 + options.scale)
    # The four weights of a pixel may add up to a little more than 1.
    return tf.minimum(warp(images, angles, factors), 255.0)


def warp(images: tf.Tensor, angles: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Turn images counter-clockwise and enlarge them about their centre, bilinearly, in one pass.

    What comes in from outside is black, the ground of segmented cells.

    Args:
        images: float32 (batch, height, width, 3).
        angles: float32 (batch,), in radians.
        factors: float32 (batch,); above 1 enlarges.
    """
    height, width = images.shape[1:3]
    x, y = (width - 1) / 2, (height - 1) / 2
    # The operation asks for the way back, from a pixel of the result to the place in the image it comes from.
    cos, sin = tf.cos(angles) / factors, tf.sin(angles) / factors
    zero = tf.zeros_like(angles)
    back = [cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y, zero, zero]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(back, axis=1),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def _coin(seed: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_uniform((batch, 1, 1, 1), seed) < 0.5
