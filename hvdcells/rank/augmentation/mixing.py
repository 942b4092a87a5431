"""Images mixed with others of their batch: mixup (Zhang et al. 2018, arXiv 1710.09412), cutmix (Yun et al. 2019, arXiv
1905.04899).

Every image keeps its place, its weight and the larger or smaller share of its label; its partner is the next image of
this rank's batch, which is in random order.
"""

import tensorflow as tf

from hvdcells.experiment import Augmentation


def partner_of(values: tf.Tensor) -> tf.Tensor:
    """Return for each image of a batch what its partner has."""
    return tf.roll(values, -1, 0)


def mix(images: tf.Tensor, options: Augmentation, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mix each image with its partner; where both ways are asked for, a coin decides for each image.

    Args:
        images: float32 (batch, size, size, 3).
        options: `mixup` and `cutmix`.
        seed: int32 (2,).

    Returns:
        The images, and how much of each is its own, float32 (batch,) in 0–1: the share of its own label.
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 4))
    batch = tf.shape(images)[0]
    # Of each pixel, how much is the image's own.
    blended = _beta(seeds[0], batch, options.mixup or 1.0)[:, tf.newaxis, tf.newaxis]
    if not options.cutmix:
        own = blended
    else:
        pasted = _outside_of_a_box(_beta(seeds[1], batch, options.cutmix), tf.shape(images)[1], seeds[2])
        cuts = tf.random.stateless_uniform([batch, 1, 1], seeds[3]) < (0.5 if options.mixup else 1.0)
        own = tf.where(cuts, pasted, blended)
    pixels = own[..., tf.newaxis]
    return pixels * images + (1 - pixels) * partner_of(images), tf.reduce_mean(own, axis=[1, 2])


def _beta(seed: tf.Tensor, batch: tf.Tensor, alpha: float) -> tf.Tensor:
    """Draw from Beta(α, α), float32 (batch,): one of two equal gammas as a share of both."""
    # In float64, in which a gamma of a small α is not yet zero; see `Augmentation`.
    gammas = tf.random.stateless_gamma([2, batch], seed, alpha=tf.constant(alpha, tf.float64), dtype=tf.float64)
    return tf.cast(gammas[0] / tf.reduce_sum(gammas, 0), tf.float32)


def _outside_of_a_box(own: tf.Tensor, size: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return 0 inside a square box of area 1 − `own`, as far as the image reaches, and 1 outside: (batch, size, size).

    The centre is drawn from all of the image, so a box at the border is smaller than drawn; the mean says what is left.
    """
    side = tf.sqrt(1 - own)[:, tf.newaxis]
    centres = tf.random.stateless_uniform([2, tf.shape(own)[0], 1], seed)
    pixels = (tf.cast(tf.range(size), tf.float32) + 0.5) / tf.cast(size, tf.float32)
    inside = tf.abs(pixels - centres) < side / 2  # rows and columns: (2, batch, size)
    return 1 - tf.cast(inside[0][:, :, tf.newaxis] & inside[1][:, tf.newaxis, :], tf.float32)
