"""How an image is lit and recorded: brightness, contrast, hue.

All take and return float32 (batch, size, size, 3) in 0–255.
"""

import tensorflow as tf

from hvdcells.experiment import Augmentation


def change_brightness(images: tf.Tensor, options: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Multiply every image by a factor from 1 ± `brightness`, and every channel by one from 1 ± `channel_gain`."""
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    batch = tf.shape(images)[0]
    light = tf.random.stateless_uniform((batch, 1, 1, 1), seeds[0], 1 - options.brightness, 1 + options.brightness)
    tint = tf.random.stateless_uniform((batch, 1, 1, 3), seeds[1], 1 - options.channel_gain, 1 + options.channel_gain)
    return tf.minimum(images * (light * tint), 255.0)


def change_contrast(images: tf.Tensor, bound: float, seed: tf.Tensor) -> tf.Tensor:
    """Multiply every image's distance from its mean colour by a factor from 1 ± bound.

    The mean is that of the pixels that are not black: of the cell, where the ground is black.
    """
    factors = tf.random.stateless_uniform((tf.shape(images)[0], 1, 1, 1), seed, 1 - bound, 1 + bound)
    lit = not_black(images)
    num_lit = tf.maximum(tf.reduce_sum(lit, [1, 2], keepdims=True), 1.0)
    mean = tf.reduce_sum(images * lit, [1, 2], keepdims=True) / num_lit
    return tf.clip_by_value(mean + (images - mean) * factors, 0.0, 255.0) * lit


def change_hue(images: tf.Tensor, bound: float, seed: tf.Tensor) -> tf.Tensor:
    """Shift every image's hue by a part of the colour circle from ± bound. Grey and black have none and stay."""
    shifts = tf.random.stateless_uniform((tf.shape(images)[0], 1, 1), seed, -bound, bound)
    hue, saturation, value = tf.unstack(tf.image.rgb_to_hsv(images / 255.0), axis=-1)
    shifted = tf.image.hsv_to_rgb(tf.stack([(hue + shifts) % 1.0, saturation, value], axis=-1))
    return tf.clip_by_value(shifted * 255.0, 0.0, 255.0)


def not_black(images: tf.Tensor) -> tf.Tensor:
    """Return 1 where a pixel is not black and 0 where it is, float32 (batch, size, size, 1)."""
    return tf.cast(tf.reduce_max(images, -1, keepdims=True) > 0, tf.float32)
