"""Augmentation: exact where it can be, seeded, within 0–255, nothing when it is off."""

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hvdcells.experiment import Augmentation
from hvdcells.rank.augmentation import augment
from hvdcells.rank.augmentation.color import change_contrast, change_hue
from hvdcells.rank.augmentation.geometry import flip_and_turn, rotate_and_scale, warp
from hvdcells.rank.augmentation.stain import STAINS, change_stain, stain

pytestmark = pytest.mark.tensorflow

NOTHING = Augmentation(flips=False, quarter_turns=False)
ALL = Augmentation(rotation_degrees=180, scale=0.2, brightness=0.3, contrast=0.3, hue=0.05, channel_gain=0.1, stain=0.1)
SINGLE: list[dict[str, Any]] = [
    {"flips": True},
    {"quarter_turns": True},
    {"rotation_degrees": 180},
    {"scale": 0.3},
    {"brightness": 0.3},
    {"contrast": 0.3},
    {"hue": 0.1},
    {"channel_gain": 0.2},
    {"stain": 0.1},
]


def noise(batch=6, size=17, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)


def cells(batch=6, size=33):
    """Coloured discs on black ground."""
    y, x = np.mgrid[:size, :size] - size // 2
    disc = (x**2 + y**2 < (size / 3) ** 2)[None, :, :, None]
    return np.where(disc, noise(batch, size) // 2 + 60, 0).astype(np.uint8)


def seed_of(number):
    return tf.constant([number, 1])


def test_nothing_is_done_when_everything_is_off():
    images = noise()
    out = augment(tf.constant(images), NOTHING, seed_of(0))
    assert out.dtype == tf.float32
    assert np.array_equal(out, images)
    graph = tf.function(lambda x, s: augment(x, NOTHING, s)).get_concrete_function(
        tf.TensorSpec((6, 17, 17, 3), tf.uint8), tf.TensorSpec((2,), tf.int32)
    )
    operations = {operation.type for operation in graph.graph.get_operations()}
    assert not operations & {"StatelessRandomUniformV2", "SelectV2", "ImageProjectiveTransformV3", "Exp", "Mul"}


@pytest.mark.parametrize("size", [16, 17])
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_turning_by_quarters_is_rot90(size, quarters):
    images = noise(3, size).astype(np.float32)
    turned = warp(tf.constant(images), tf.fill([3], quarters * math.pi / 2), tf.ones(3))
    np.testing.assert_allclose(turned, np.rot90(images, quarters, axes=(1, 2)), atol=0.02)


def test_the_identity_warp_is_the_identity():
    images = noise().astype(np.float32)
    np.testing.assert_allclose(warp(tf.constant(images), tf.zeros(6), tf.ones(6)), images, atol=1e-3)


def test_enlarging_magnifies_about_the_centre_and_shrinking_brings_black_in():
    images = np.full((1, 33, 33, 3), 200, np.float32)
    images[:, 16 - 4 : 16 + 5, 16 - 4 : 16 + 5] = 100
    double = warp(tf.constant(images), tf.zeros(1), tf.constant([2.0])).numpy()
    assert np.all(double[0, 16 - 7 : 16 + 8, 16 - 7 : 16 + 8] == pytest.approx(100))
    assert np.all(double[0, 0, :] == pytest.approx(200))
    half = warp(tf.constant(images), tf.zeros(1), tf.constant([0.5])).numpy()
    assert half[0, 0, 0].tolist() == [0, 0, 0]
    assert half[0, 16, 16].tolist() == pytest.approx([100] * 3)


def test_turned_corners_are_black():
    images = tf.fill([4, 20, 20, 3], 255.0)
    turned = warp(images, tf.fill([4], math.pi / 4), tf.ones(4)).numpy()
    assert turned[:, 0, 0].max() == 0
    assert turned[:, 10, 10].min() == pytest.approx(255)


def test_angles_and_factors_differ_between_images_and_keep_their_bounds():
    # The brightest pixel of a dot on the right tells the angle, its distance from the centre the factor.
    image = np.zeros((1, 65, 65, 3), np.float32)
    image[0, 31:34, 51:54] = 255
    images = tf.tile(tf.constant(image), [64, 1, 1, 1])
    out = rotate_and_scale(images, Augmentation(rotation_degrees=30, scale=0.2), seed_of(3)).numpy()[..., 0]
    weights = out / out.sum((1, 2), keepdims=True)
    rows, columns = (weights * (np.mgrid[:65, :65] - 32)[:, None]).sum((2, 3))
    angles, factors = np.degrees(np.arctan2(-rows, columns)), np.hypot(rows, columns) / 20
    assert np.abs(angles).max() <= 30.5
    assert angles.min() < -20 < 20 < angles.max()
    assert 0.79 <= factors.min() < 0.87
    assert 1.13 < factors.max() <= 1.21


def test_flips_and_quarter_turns_make_all_eight_symmetries_and_nothing_else():
    image = noise(1, 5)
    images = tf.constant(np.repeat(image, 128, axis=0))
    flipped = [image[0], image[0, :, ::-1]]
    expected = {np.rot90(each, quarters).tobytes() for each in flipped for quarters in range(4)}
    for options in (Augmentation(), Augmentation(flips=False)):
        out = flip_and_turn(images, options, seed_of(1)).numpy()
        found = {each.tobytes() for each in out}
        assert found <= expected
        assert len(found) == (8 if options.flips else 4)


@pytest.mark.parametrize("change", SINGLE, ids=lambda change: next(iter(change)))
def test_each_change_is_decided_by_the_seed_alone_and_differs_between_images(change):
    options = NOTHING.model_copy(update=change)
    images = np.repeat(cells(1), 12, axis=0)
    compiled = tf.function(lambda x, s: augment(x, options, s))
    one, again, other = (compiled(tf.constant(images), seed_of(n)).numpy() for n in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert not all(np.array_equal(one[0], each) for each in one[1:])


@settings(max_examples=15, deadline=None)
@example(42858, NOTHING.model_copy(update={"rotation_degrees": 180}))  # a sum of weights above 1
@given(st.integers(0, 2**31 - 1), st.sampled_from([NOTHING.model_copy(update=change) for change in SINGLE] + [ALL]))
def test_values_stay_within_0_and_255(seed, options):
    extremes = np.concatenate([noise(2), np.zeros((1, 17, 17, 3), np.uint8), np.full((1, 17, 17, 3), 255, np.uint8)])
    out = augment(tf.constant(extremes), options, seed_of(seed)).numpy()
    assert np.all(np.isfinite(out))
    assert out.min() >= 0
    assert out.max() <= 255


@pytest.mark.parametrize("change", [{"contrast": 0.5}, {"hue": 0.3}, {"stain": 0.3}, {"brightness": 0.5}])
def test_black_ground_stays_black(change):
    images = cells()
    out = augment(tf.constant(images), NOTHING.model_copy(update=change), seed_of(5)).numpy()
    ground = images.max(-1) == 0
    assert out[ground].max() == 0
    assert not np.allclose(out[~ground], images[~ground], atol=1)


def test_contrast_keeps_the_mean_colour_of_the_cell():
    images = tf.constant(cells(), tf.float32)
    out = change_contrast(images, 0.3, seed_of(0)).numpy()
    lit = images.numpy().max(-1) > 0
    for before, after, where in zip(images.numpy(), out, lit, strict=True):
        assert after[where].mean(0) == pytest.approx(before[where].mean(0), abs=0.1)
        assert after[where].std() != pytest.approx(before[where].std(), rel=0.005)


def test_hue_agrees_with_tensorflow_and_leaves_grey_alone():
    images = tf.constant(noise(1), tf.float32)
    seed = seed_of(4)
    shift = float(tf.random.stateless_uniform((1, 1, 1), seed, -0.2, 0.2))
    expected = tf.image.adjust_hue(images / 255, shift) * 255
    np.testing.assert_allclose(change_hue(images, 0.2, seed), expected, atol=0.1)
    grey = tf.fill([2, 4, 4, 3], 77.0)
    np.testing.assert_allclose(change_hue(grey, 0.4, seed), grey, atol=1e-3)


def test_stain_with_factor_one_and_no_shift_is_the_identity():
    images = tf.constant(noise(), tf.float32)
    np.testing.assert_allclose(stain(images, tf.ones((6, 3)), tf.zeros((6, 3))), images, atol=0.02)


@pytest.mark.parametrize("which", [0, 1, 2], ids=["haematoxylin", "eosin", "rest"])
def test_doubling_a_stain_doubles_its_optical_density_and_leaves_the_others(which):
    amounts = np.array([0.3, 0.2, 0.1])
    color = 256 * np.exp(-amounts @ STAINS) - 1
    factors = np.ones((1, 3), np.float32)
    factors[0, which] = 2
    amounts[which] *= 2
    expected = 256 * np.exp(-amounts @ STAINS) - 1
    out = stain(tf.constant(color.reshape(1, 1, 1, 3), tf.float32), tf.constant(factors), tf.zeros((1, 3)))
    np.testing.assert_allclose(out.numpy().ravel(), expected, rtol=1e-4)


def test_stain_changes_are_bounded():
    images = tf.constant(np.repeat(cells(1), 64, axis=0), tf.float32)
    weak, strong = (np.abs(change_stain(images, b, seed_of(0)).numpy() - images.numpy()).mean() for b in (0.02, 0.2))
    assert 0 < weak < 5
    assert strong > 4 * weak
