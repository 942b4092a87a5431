"""The range of images: a distance by hand, 1 % of like images beyond it, unlike ones far outside, and its size."""

import json

import numpy as np
import pytest
from pydantic import ValidationError

from hvdcells.scores.image_range import ImageRange, Spread, colors_of, sampled_rows


def drawn(rng, num, num_features, shift=0.0):
    """Images of two classes that differ in the first feature, of 20 subjects; features of falling variance."""
    labels = np.arange(num) % 2
    values = rng.normal(size=(num, num_features)) / np.sqrt(1 + np.arange(num_features))
    values[:, 0] += 10 * labels
    return values + shift, labels, [str(number % 20) for number in range(num)]


def test_a_distance_worked_out_by_hand():
    means, axes = np.array([[0.0, 0, 0], [10, 0, 0]]), np.array([[1.0, 0, 0]])
    spread = Spread(means=means, axes=axes, variances=np.array([4.0]), rest=0.25, limit=2)
    # 4²/4 + (1² + 1²)/0.25 = 12 from the first mean, 6²/4 + 8 = 17 from the second.
    assert spread.ratio([[4, 1, 1]]) == pytest.approx([np.sqrt(12) / 2])
    assert spread.ratio([[8, 0, 1]]) == pytest.approx([np.sqrt(2**2 / 4 + 4) / 2])


@pytest.mark.parametrize("num_features", [6, 300])
def test_about_one_in_a_hundred_like_images_is_out_of_range_and_all_unlike_ones(num_features):
    rng = np.random.default_rng(0)
    spread = Spread.fit(*drawn(rng, 1000, num_features))
    assert 0.003 < (spread.ratio(drawn(rng, 5000, num_features)[0]) > 1).mean() < 0.03
    if num_features == 6:
        between = drawn(rng, 100, num_features)[0]
        between[:, 0] = 5  # between both classes, where no image lies
        assert (spread.ratio(between) > 1).all()
    assert (spread.ratio(drawn(rng, 100, num_features, shift=6.0)[0]) > 2).all()


def test_it_is_the_same_after_json_of_a_bounded_size():
    rng = np.random.default_rng(1)
    labels = np.arange(1000) % 20
    colors, features = rng.normal(size=(1000, 6)), rng.normal(size=(1000, 2048))
    made = ImageRange.fit(colors, features, labels, [str(each % 7) for each in range(1000)])
    text = made.model_dump_json()
    assert len(text) < 650_000
    read = ImageRange.model_validate_json(text)
    np.testing.assert_allclose(read.features.ratio(features[:9]), made.features.ratio(features[:9]), rtol=1e-4)
    assert ImageRange.model_validate(json.loads(text)).images == 1000


@pytest.mark.parametrize(
    "damage",
    [
        lambda kept: kept["colors"].update(means={}),
        lambda kept: kept["colors"].update(axes={"shape": [3], "float32": "AAAA"}),
        lambda kept: kept["colors"].update(variances={"shape": [1], "float32": "AAAAAA=="}),
        lambda kept: kept["colors"].update(means=7),
    ],
)
def test_what_does_not_fit_together_is_refused(damage):
    rng = np.random.default_rng(3)
    made = ImageRange.fit(rng.normal(size=(40, 6)), None, np.zeros(40, int), [str(each) for each in range(40)])
    kept = json.loads(made.model_dump_json())
    assert ImageRange.model_validate(kept) is not None
    damage(kept)
    with pytest.raises(ValidationError):
        ImageRange.model_validate(kept)


@pytest.mark.parametrize("num", [2, 3, 9])
def test_few_or_equal_images_give_finite_figures(num):
    colors, features = np.zeros((num, 6)), np.ones((num, 40))
    for groups in ([str(each) for each in range(num)], ["one"] * num):
        made = ImageRange.fit(colors, features, np.arange(num) % 2, groups)
        assert np.isfinite(made.features.ratio(features)).all()
        assert (made.colors.ratio(colors + 9) > 1).all()
    assert ImageRange.fit(colors, None, np.zeros(num, int), ["one"] * num).features is None


def test_colors_and_rows():
    images = np.random.default_rng(2).integers(0, 255, (3, 5, 7, 3), dtype=np.uint8)
    expected = np.concatenate([images.mean(axis=(1, 2)), images.std(axis=(1, 2))], axis=1)
    np.testing.assert_allclose(colors_of(images), expected)
    assert colors_of(images[:0]).shape == (0, 6)
    assert sampled_rows(5).tolist() == [0, 1, 2, 3, 4]
    assert len(sampled_rows(123_456)) == 1000
    assert sampled_rows(123_456)[-1] == 123_455
