"""The small CNN: minutes on two CPU cores."""

import tf_keras
from tf_keras import layers

from hvdcells.experiment import Model


def small_cnn(options: Model, input_size: int) -> tf_keras.Model:
    """Four blocks of convolution, normalisation, ReLU and pooling, then the average over the image.

    Returns:
        A model from (batch, input_size, input_size, 3) to features of shape (batch, filters of the last block).
    """
    inputs = features = layers.Input((input_size, input_size, 3))
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
    features = layers.GlobalAveragePooling2D(name="average")(features)
    return tf_keras.Model(inputs, features, name="backbone")
