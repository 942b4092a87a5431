"""How strongly a cell is stained, in the space of haematoxylin, eosin and the rest.

Light that passes a stained cell is weakened exponentially, so amounts of stain add up in optical density:
−ln((RGB + 1) / 256) = amounts · STAINS. Ruifrok and Johnston (2001, Anal. Quant. Cytol. Histol. 23:291) measured the
stains' colours and invert the matrix to get amounts from colours ("colour deconvolution"). Tellez et al. (2018, IEEE
TMI 37:2126) change the amounts at random, a ↦ α·a + β, to imitate how staining differs between laboratories.

C-NMC is stained with Jenner–Giemsa, not with haematoxylin and eosin. The space is still one of plausible changes: a
blue-violet nuclear stain and a pink one.
"""

import numpy as np
import tensorflow as tf

from hvdcells.rank.augmentation.color import not_black

STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
"""Optical density in R, G and B of haematoxylin, eosin and the rest (there diaminobenzidine)."""
STAINS = STAINS / np.linalg.norm(STAINS, axis=1, keepdims=True)


def change_stain(images: tf.Tensor, bound: float, seed: tf.Tensor) -> tf.Tensor:
    """Draw α from 1 ± bound and β from ± bound for each image and stain, and change the amounts with them.

    Args:
        images: float32 (batch, size, size, 3) in 0–255; black pixels stay black.
        bound: of both changes; β is in optical density.
        seed: int32 (2,).
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    batch = tf.shape(images)[0]
    factors = tf.random.stateless_uniform((batch, 3), seeds[0], 1 - bound, 1 + bound)
    shifts = tf.random.stateless_uniform((batch, 3), seeds[1], -bound, bound)
    return stain(images, factors, shifts) * not_black(images)


def stain(images: tf.Tensor, factors: tf.Tensor, shifts: tf.Tensor) -> tf.Tensor:
    """Change the amounts of the three stains.

    Args:
        images: float32 (batch, height, width, 3) in 0–255.
        factors: α, float32 (batch, 3).
        shifts: β, float32 (batch, 3).

    Returns:
        Images as they came in, clipped to 0–255.
    """
    stains, unmix = tf.constant(STAINS, tf.float32), tf.constant(np.linalg.inv(STAINS), tf.float32)
    density = -tf.math.log((images + 1) / 256)
    # Unmixing, scaling and mixing are one 3×3 matrix per image.
    mix = tf.matmul(unmix * factors[:, tf.newaxis, :], stains)
    density = tf.einsum("bhwc,bcd->bhwd", density, mix) + tf.matmul(shifts, stains)[:, tf.newaxis, tf.newaxis, :]
    return tf.clip_by_value(256 * tf.exp(-density) - 1, 0.0, 255.0)
