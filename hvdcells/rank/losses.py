"""The loss of each image, from logits, and what each class weighs in it."""

from collections.abc import Callable

import tensorflow as tf

from hvdcells.data.dataset import Dataset
from hvdcells.experiment import Experiment, Training

SMALLEST_DOUBT = 1e-7
"""The focal loss takes a probability of 1 for this much less: below γ = 1 its slope has no end there."""


def image_loss(options: Training) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return a loss of (labels (batch,), logits (batch, classes)) that gives one value per image, (batch,).

    Label smoothing s makes the target 1 − s + s/K for the true one of K classes and s/K for the others (Szegedy et al.
    2016, arXiv 1512.00567). `focal` multiplies the cross-entropy by (1 − p)^γ, p being the probability of the true
    class (Lin et al. 2017, arXiv 1708.02002), or with smoothing its mean over the target; its α is the class weight,
    which the step applies to either loss.
    """

    def loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        num_classes = logits.shape[-1]
        spread = options.label_smoothing / num_classes
        target = tf.one_hot(
            tf.cast(labels, tf.int32), num_classes, on_value=1 - options.label_smoothing + spread, off_value=spread
        )
        if options.loss == "cross_entropy":
            return tf.nn.softmax_cross_entropy_with_logits(target, logits)
        # Written out, for Keras' own clips the probabilities, and with them the gradient of large logits.
        logarithms = tf.nn.log_softmax(logits)
        doubt = tf.maximum(1 - tf.reduce_sum(target * tf.exp(logarithms), -1), SMALLEST_DOUBT)
        return -(doubt**options.focal_gamma) * tf.reduce_sum(target * logarithms, -1)

    return loss


def class_weights(dataset: Dataset, experiment: Experiment) -> tuple[float, ...]:
    """Return the loss weight of each class, by label: images / (classes · images of the class), or 1."""
    names = dataset.manifest.class_names
    if experiment.training.class_weights == "none":
        return (1.0,) * len(names)
    split = dataset.split("train")
    # A class without images weighs nothing, whatever its weight.
    return tuple(split.images / (len(names) * max(1, split.images_per_class.get(name, 0))) for name in names)
