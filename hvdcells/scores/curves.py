"""Curves of gathered predictions: ROC, precision–recall and calibration, as numbers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, brier_score_loss, precision_recall_curve, roc_curve

from hvdcells.data.columns import CANCER


@dataclass(frozen=True)
class Calibration:
    """How far predicted probabilities of cancer are the frequencies they claim to be.

    The arrays have one entry for each bin that holds images, in order of probability.
    """

    mean_probability: NDArray[np.float64]
    cancer_share: NDArray[np.float64]
    """Share of the bin's images that are cancer."""
    images: NDArray[np.int64]
    expected_calibration_error: float
    brier_score: float


def roc_points(labels: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the false and true positive rates of all thresholds, from (0, 0) to (1, 1); None for one class only."""
    if not has_both_classes(labels):
        return None
    false_positive_rate, true_positive_rate, _ = roc_curve(labels, probabilities)
    return false_positive_rate, true_positive_rate


def precision_recall_points(
    labels: ArrayLike, probabilities: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], float] | None:
    """Return recall and precision of all thresholds, recall falling, and the average precision; None for one class.

    The average precision is the sum of precision over steps of recall, without interpolation (scikit-learn's).
    """
    if not has_both_classes(labels):
        return None
    precision, recall, _ = precision_recall_curve(labels, probabilities)
    return recall, precision, float(average_precision_score(labels, probabilities))


def calibration(labels: ArrayLike, probabilities: ArrayLike, num_bins: int = 10) -> Calibration:
    """Compare predicted probabilities of cancer with the share of cancer, in bins of equal width.

    The expected calibration error is the mean distance between the two, weighted by the images of the bins
    (Naeini et al. 2015; Guo et al. 2017, arXiv 1706.04599; here of the probability of cancer, as in a reliability
    diagram, not of the called class). The Brier score is the mean squared error of the probability.

    Args:
        labels: int, shape (n,), 1 for cancer; n > 0.
        probabilities: float, shape (n,), in 0–1.
        num_bins: bins of equal width over 0–1; the last one holds 1.0 too.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    bins = np.minimum((probabilities * num_bins).astype(int), num_bins - 1)
    images = np.bincount(bins, minlength=num_bins)
    filled = images > 0
    mean_probability = np.bincount(bins, probabilities, num_bins)[filled] / images[filled]
    cancer_share = np.bincount(bins, labels == CANCER, num_bins)[filled] / images[filled]
    images = images[filled]
    error = float(np.sum(images * np.abs(mean_probability - cancer_share)) / len(labels))
    return Calibration(
        mean_probability,
        cancer_share,
        images,
        expected_calibration_error=error,
        brier_score=float(brier_score_loss(labels, probabilities, pos_label=CANCER)),
    )


def has_both_classes(labels: ArrayLike) -> bool:
    """Whether images of both classes are there; without, ranking scores are not defined."""
    return len(np.unique(labels)) == 2
