"""The loss of each image, from logits."""

import tf_keras

from hvdcells.experiment import Training


def image_loss(options: Training) -> tf_keras.losses.Loss:
    """Return a loss of (labels (batch, 1) of 0 or 1, logits (batch, 1)) that gives one value per image, (batch,).

    `focal` multiplies the cross-entropy by (1 − p)^γ, p being the probability of the true class (Lin et al. 2017, arXiv
    1708.02002); its α is the class weight, which the step applies to either loss.
    """
    common = {"from_logits": True, "label_smoothing": options.label_smoothing, "reduction": "none"}
    if options.loss == "focal":
        return tf_keras.losses.BinaryFocalCrossentropy(gamma=options.focal_gamma, **common)
    return tf_keras.losses.BinaryCrossentropy(**common)
