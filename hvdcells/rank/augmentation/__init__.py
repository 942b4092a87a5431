"""Random changes to training images, inside the step's graph, seeded per step and rank.

The order is that of taking an image: how the cell lies, how it is stained, how it is lit and recorded. What an
experiment leaves at zero puts nothing into the graph.
"""

import tensorflow as tf

from hvdcells.experiment import Augmentation
from hvdcells.rank.augmentation.color import change_brightness, change_contrast, change_hue
from hvdcells.rank.augmentation.geometry import flip_and_turn, rotate_and_scale
from hvdcells.rank.augmentation.stain import change_stain


def augment(images: tf.Tensor, options: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Flip, turn, scale and recolour a batch.

    Args:
        images: uint8 (batch, size, size, 3).
        options: what to do.
        seed: int32 (2,); the same seed gives the same changes.

    Returns:
        float32 (batch, size, size, 3) in 0–255.
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 6))
    # On bytes, before the cast, these are cheap.
    images = tf.cast(flip_and_turn(images, options, seeds[0]), tf.float32)
    if options.rotation_degrees or options.scale:
        images = rotate_and_scale(images, options, seeds[1])
    if options.stain:
        images = change_stain(images, options.stain, seeds[2])
    if options.contrast:
        images = change_contrast(images, options.contrast, seeds[3])
    if options.hue:
        images = change_hue(images, options.hue, seeds[4])
    if options.brightness or options.channel_gain:
        images = change_brightness(images, options, seeds[5])
    return images
