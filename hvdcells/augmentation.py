"""Random changes to training images, inside the step's graph, seeded per step and rank."""

import tensorflow as tf

from hvdcells.experiment import Augmentation


def augment(images: tf.Tensor, options: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Flip, turn and recolour a batch.

    Args:
        images: uint8 (batch, size, size, 3).
        options: what to do.
        seed: int32 (2,); the same seed gives the same changes.

    Returns:
        float32 (batch, size, size, 3) in 0–255.
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 5))
    batch = tf.shape(images)[0]
    # The three moves generate all eight symmetries of the square; on bytes, before the cast, they are cheap.
    if options.flips:
        images = tf.where(_coin(seeds[0], batch), tf.reverse(images, [2]), images)
        images = tf.where(_coin(seeds[1], batch), tf.reverse(images, [1]), images)
    if options.quarter_turns:
        turned = tf.reverse(tf.transpose(images, [0, 2, 1, 3]), [1])
        images = tf.where(_coin(seeds[2], batch), turned, images)
        if not options.flips:  # with flips, a half turn is two of them
            images = tf.where(_coin(seeds[0], batch), tf.reverse(images, [1, 2]), images)
    images = tf.cast(images, tf.float32)
    if options.brightness or options.channel_gain:
        gain = tf.random.stateless_uniform(
            (batch, 1, 1, 1), seeds[3], 1 - options.brightness, 1 + options.brightness
        ) * tf.random.stateless_uniform((batch, 1, 1, 3), seeds[4], 1 - options.channel_gain, 1 + options.channel_gain)
        images = tf.minimum(images * gain, 255.0)
    return images


def _coin(seed: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_uniform((batch, 1, 1, 1), seed) < 0.5
