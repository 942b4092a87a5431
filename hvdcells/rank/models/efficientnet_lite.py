"""EfficientNet-Lite0, the one backbone of `tf_keras` models here that `tf_keras.applications` does not have.

EfficientNet-B0's inverted residual blocks (Tan and Le 2019, arXiv 1905.11946) without squeeze-and-excitation and with
ReLU6 in place of swish, as the Lite variants have it: both are cheap on processors and when quantised.
"""

from typing import Any, NamedTuple

import tf_keras
from tf_keras import layers

EXPECTED_INPUT = ((127.0,) * 3, (128.0,) * 3, False)
"""What its ImageNet weights expect: mean, standard deviation, BGR; as `applications.expected_input` gives it."""
NUM_FEATURES = 1280
_STEM_FILTERS = 32


class Stage(NamedTuple):
    """Blocks of one resolution. The first takes `stride`; the others add their input to their output."""

    repeats: int
    kernel_size: int
    stride: int
    expansion: int
    filters: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
"""Table 1 of the paper, for B0."""


def block_names() -> list[str]:
    """Return the names of the 16 blocks in their order: `block1a`, `block2a`, `block2b`, …"""
    return [
        f"block{number}{'abcd'[repeat]}"
        for number, stage in enumerate(STAGES, start=1)
        for repeat in range(stage.repeats)
    ]


def efficientnet_lite0(input_size: int) -> tf_keras.Model:
    """Build the backbone with random weights.

    Returns:
        A model from (batch, input_size, input_size, 3) to features of shape (batch, 1280).
    """
    inputs = layers.Input((input_size, input_size, 3))
    features = _convolution(inputs, _STEM_FILTERS, 3, 2, "stem")
    names = iter(block_names())
    for stage in STAGES:
        for repeat in range(stage.repeats):
            features = _block(features, stage, stage.stride if repeat == 0 else 1, next(names))
    features = _convolution(features, NUM_FEATURES, 1, 1, "top")
    features = layers.GlobalAveragePooling2D(name="average")(features)
    return tf_keras.Model(inputs, features, name="backbone")


def _block(inputs: Any, stage: Stage, stride: int, name: str) -> Any:
    """Widen, filter each channel, narrow; add the input where the shapes are the same."""
    features = inputs
    if stage.expansion > 1:
        features = _convolution(features, stage.expansion * inputs.shape[-1], 1, 1, f"{name}_expand")
    features = layers.DepthwiseConv2D(
        stage.kernel_size,
        stride,
        padding="same",
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}_depthwise_conv",
    )(features)
    features = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(_normalised(features, f"{name}_depthwise"))
    features = _convolution(features, stage.filters, 1, 1, f"{name}_project", activated=False)
    if stride == 1 and stage.filters == inputs.shape[-1]:
        features = layers.Add(name=f"{name}_add")([inputs, features])
    return features


def _convolution(inputs: Any, filters: int, size: int, stride: int, name: str, activated: bool = True) -> Any:
    features = layers.Conv2D(
        filters,
        size,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(inputs)
    features = _normalised(features, name)
    return layers.ReLU(6.0, name=f"{name}_relu")(features) if activated else features


def _normalised(features: Any, name: str) -> Any:
    return layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=f"{name}_bn")(features)
