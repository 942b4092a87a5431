"""Curves of gathered predictions as numbers: one class against the rest, and calibration."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from hvdcells.scores.formulas import Floats, bins_of, calibration_error, sums_by


@dataclass(frozen=True)
class Calibration:
    """How far predicted probabilities are the frequencies they claim to be.

    The arrays have one entry for each bin that holds images, in order of probability.
    """

    mean_probability: Floats
    share: Floats
    """Share of the bin's images for which it came true."""
    images: NDArray[np.int64]
    expected_calibration_error: float


def roc_points(is_class: ArrayLike, probabilities: ArrayLike) -> tuple[Floats, Floats] | None:
    """Return the false and true positive rates of all thresholds, from (0, 0) to (1, 1).

    Args:
        is_class: whether an image is of the class, shape (n,).
        probabilities: that it is, shape (n,).

    Returns:
        Both rates; None where all images are of the class, or none.
    """
    if not has_both(is_class):
        return None
    false_positive_rate, true_positive_rate, _ = roc_curve(is_class, probabilities)
    return false_positive_rate, true_positive_rate


def precision_recall_points(is_class: ArrayLike, probabilities: ArrayLike) -> tuple[Floats, Floats] | None:
    """Return recall and precision of all thresholds, recall falling; arguments and None as `roc_points`."""
    if not has_both(is_class):
        return None
    precision, recall, _ = precision_recall_curve(is_class, probabilities)
    return recall, precision


def calibration(came_true: ArrayLike, probabilities: ArrayLike, num_bins: int = 10) -> Calibration:
    """Compare predicted probabilities with the share of what came true, in bins of equal width.

    Args:
        came_true: bool, shape (n,); n > 0. `scorer.calibrated` gives what is compared for classes.
        probabilities: float, shape (n,), in 0–1.
        num_bins: bins of equal width over 0–1; the last one holds 1.0 too.
    """
    outcomes, probabilities = np.asarray(came_true, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    bins = bins_of(probabilities, num_bins)
    images = np.bincount(bins, minlength=num_bins)
    true, sums = sums_by(bins, outcomes, num_bins), sums_by(bins, probabilities, num_bins)
    filled = images > 0
    return Calibration(
        sums[filled] / images[filled],
        true[filled] / images[filled],
        images[filled],
        calibration_error(true, sums, images.astype(np.float64)),
    )


def has_both(is_class: ArrayLike) -> bool:
    """Whether there are images of the class and others; without, ranking is not defined."""
    return len(np.unique(is_class)) == 2
