"""Mixed images: each pixel comes from two images of the batch, by just the share that the label is given."""

import numpy as np
import pytest
import tensorflow as tf

from hvdcells.experiment import Augmentation
from hvdcells.experiment.sections import SMALLEST_ALPHA
from hvdcells.rank.augmentation.mixing import mix, partner_of

pytestmark = pytest.mark.tensorflow

BATCH, SIZE = 64, 20
WAYS = [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}]


def flat_images():
    """Each image of one value of its own."""
    values = np.linspace(10, 250, BATCH, dtype=np.float32)
    return values, np.broadcast_to(values[:, None, None, None], (BATCH, SIZE, SIZE, 3))


def mixed(seed=0, **options):
    values, images = flat_images()
    result, own = mix(tf.constant(images), Augmentation(**options), tf.constant([seed, 1]))
    return values, result.numpy(), own.numpy()


@pytest.mark.parametrize("options", WAYS)
def test_the_label_is_shared_as_the_pixels_are(options):
    values, images, own = mixed(**options)
    partners = partner_of(values).numpy()
    assert np.all((own >= 0) & (own <= 1))
    np.testing.assert_allclose(images.mean((1, 2, 3)), own * values + (1 - own) * partners, rtol=1e-4)
    assert len(np.unique(own.round(4))) > BATCH / 4, "each image has a share of its own"


def test_mixup_blends_all_pixels_alike_and_cutmix_takes_each_whole():
    values, images, _ = mixed(mixup=0.4)
    assert np.ptp(images, axis=(1, 2, 3)).max() < 1e-3
    values, images, own = mixed(cutmix=1.0)
    is_own, is_partners = (images == each[:, None, None, None] for each in (values, partner_of(values).numpy()))
    assert np.all(is_own | is_partners)
    for mask in is_partners[..., 0]:
        rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
        if len(rows):  # one box without gaps
            assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            assert mask.sum() == len(rows) * len(columns)
    assert 0.5 < own.mean() < 0.9  # half would be pasted, had all boxes room


def test_both_ways_are_used_where_both_are_asked_for():
    _, images, _ = mixed(mixup=0.4, cutmix=1.0)
    blended = np.ptp(images, axis=(1, 2, 3)) < 1e-3
    assert 0.3 < blended.mean() < 0.8


@pytest.mark.parametrize("alpha", [SMALLEST_ALPHA, 1.0, 100.0])
def test_shares_follow_the_beta_distribution(alpha):
    shares = np.concatenate([mixed(seed=seed, mixup=alpha)[2] for seed in range(20)])
    assert np.all(np.isfinite(shares))
    # Of Beta(α, α): mean ½, variance 1 / (4 (2α + 1)).
    assert shares.mean() == pytest.approx(0.5, abs=0.05)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.15)


@pytest.mark.parametrize("options", WAYS)
def test_the_same_seed_mixes_in_the_same_way(options):
    (_, first, _), (_, again, _), (_, other, _) = (mixed(seed, **options) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
