"""The classifiers, as `tf_keras` models that take images and return one logit of cancer.

The first layer normalises by the channel statistics of the training split, so a saved model takes images as
they are: RGB, 0–255.
"""

from collections.abc import Sequence

import tf_keras
from tf_keras import layers

from hvdcells.experiment import Model


def build_model(
    options: Model, input_size: int, channel_mean: Sequence[float], channel_std: Sequence[float], seed: int
) -> tf_keras.Model:
    """Build the classifier with fresh weights.

    Args:
        options: which backbone and how wide.
        input_size: side of the images, in pixels.
        channel_mean: mean of R, G and B over the training split, in 0–255.
        channel_std: standard deviation of the same.
        seed: of the initial weights.

    Returns:
        A model from (batch, input_size, input_size, 3) to float32 logits of shape (batch, 1).
    """
    tf_keras.utils.set_random_seed(seed)
    inputs = layers.Input((input_size, input_size, 3), name="image")
    variance = [max(std, 1.0) ** 2 for std in channel_std]
    features = layers.Normalization(mean=list(channel_mean), variance=variance, name="normalize")(inputs)
    if options.backbone == "mobilenet_v2":
        backbone = tf_keras.applications.MobileNetV2(
            input_shape=(input_size, input_size, 3),
            alpha=options.width,
            include_top=False,
            weights=None,
            pooling="avg",
        )
        features = backbone(features)
    else:
        features = _small_cnn(features, options)
    features = layers.Dropout(options.dropout, name="dropout")(features)
    # The logit is float32 under mixed precision too: a float16 loss overflows.
    logit = layers.Dense(1, dtype="float32", name="logit")(features)
    return tf_keras.Model(inputs, logit, name=options.backbone)


def _small_cnn(features: object, options: Model) -> object:
    """Four blocks of convolution, normalisation, ReLU and pooling, then the average over the image."""
    normalized = options.normalization == "batch"
    for block, filters in enumerate((24, 48, 96, 128), start=1):
        features = layers.Conv2D(
            max(1, round(filters * options.width)),
            3,
            padding="same",
            use_bias=not normalized,
            kernel_initializer="he_normal",
            name=f"conv{block}",
        )(features)
        if normalized:
            # 0.9 and not 0.99: a run on hundreds of images has few steps for the averages to settle.
            features = layers.BatchNormalization(momentum=0.9, name=f"norm{block}")(features)
        features = layers.ReLU(name=f"relu{block}")(features)
        features = layers.MaxPooling2D(name=f"pool{block}")(features)
    return layers.GlobalAveragePooling2D(name="average")(features)
