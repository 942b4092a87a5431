"""The formulas of the scores, over plain arrays; each names its source. NaN stands for "not defined"."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def class_scores(matrix: Floats) -> tuple[Floats, Floats, Floats]:
    """Return precision, recall and F1 of each class (van Rijsbergen 1979; Sokolova and Lapalme 2009).

    Args:
        matrix: counts, shape (classes, classes): row the true class, column the called one.

    Returns:
        Three arrays of shape (classes,). The recall of a class without images is not defined, nor are precision and F1
        of one that has none and is never called; a class that has images and is never called has precision 0.
    """
    right, true, called = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    precision = np.where(true + called > 0, _ratio(right, called, where_zero=0.0), np.nan)
    return precision, _ratio(right, true), _ratio(2 * right, true + called)


def accuracy(matrix: Floats) -> float:
    """Return the share that is called right."""
    return float(np.trace(matrix) / matrix.sum())


def balanced_accuracy(recall: Floats) -> float:
    """Return the mean recall of the classes that have images (Brodersen et al. 2010; Kelleher et al. 2015)."""
    return mean_of_defined(recall)


def macro_f1(f1: Floats) -> float:
    """Return the mean F1 of the classes that have images or are called (Opitz and Burst 2019, arXiv 1911.03347)."""
    return mean_of_defined(f1)


def weighted_f1(f1: Floats, matrix: Floats) -> float:
    """Return the mean F1 weighted by the images of the classes: the metric of the C-NMC 2019 challenge."""
    return float(np.sum(matrix.sum(1) * np.nan_to_num(f1)) / matrix.sum())


def cohens_kappa(matrix: Floats) -> float:
    """Return how far calls agree with the truth beyond chance, (p − e) / (1 − e) (Cohen 1960).

    p is the share called right, e what that would be if calls did not depend on the truth; not defined for e = 1.
    """
    total = matrix.sum()
    expected = float(matrix.sum(0) @ matrix.sum(1) / total**2)
    return (accuracy(matrix) - expected) / (1 - expected) if expected < 1 else float("nan")


def matthews(matrix: Floats) -> float:
    """Return Matthews' correlation coefficient, for any number of classes R_K (Matthews 1975; Gorodkin 2004).

    0 where one class alone is called; not defined where one class alone has images.
    """
    total, true, called = matrix.sum(), matrix.sum(1), matrix.sum(0)
    of_truth, of_calls = total**2 - true @ true, total**2 - called @ called
    if of_truth == 0:
        return float("nan")
    covariance = np.trace(matrix) * total - true @ called
    return float(covariance / np.sqrt(of_truth * of_calls)) if of_calls > 0 else 0.0


def auroc(positives: Floats, negatives: Floats) -> float:
    """Return the share of pairs of a positive and a negative in the right order, ties half (Hanley and McNeil 1982).

    Args:
        positives: how many there are at each level of the probability, from the lowest level up.
        negatives: the same.
    """
    pairs = positives.sum() * negatives.sum()
    lower = np.cumsum(negatives) - negatives
    return float(positives @ (lower + negatives / 2) / pairs) if pairs else float("nan")


def average_precision(positives: Floats, negatives: Floats) -> float:
    """Return the sum of precision over steps of recall, without interpolation (Zhu 2004); arguments as `auroc`."""
    found, falsely = np.cumsum(positives[::-1]), np.cumsum(negatives[::-1])
    if not len(found) or not found[-1]:
        return float("nan")
    return float(np.sum(positives[::-1] * _ratio(found, found + falsely, where_zero=0.0)) / found[-1])


def calibration_error(outcomes: Floats, probabilities: Floats, counts: Floats) -> float:
    """Return the expected calibration error (Naeini et al. 2015; Guo et al. 2017, arXiv 1706.04599).

    The mean distance between predicted probability and share of what came true, over bins, weighted by their images.

    Args:
        outcomes: by bin, how many came true.
        probabilities: by bin, the sum of the predicted probabilities.
        counts: by bin, the images.
    """
    return float(np.sum(np.abs(probabilities - outcomes)) / counts.sum())


def bins_of(probabilities: Floats, num_bins: int = 10) -> NDArray[np.intp]:
    """Return the bin of each probability: of equal width over 0–1, the last one holds 1 too."""
    return np.minimum((probabilities * num_bins).astype(np.intp), num_bins - 1)


def sums_by(places: NDArray[np.intp], amounts: Floats, num_places: int = 0) -> Floats:
    """Return the sum of the amounts at each place, of shape (num_places,) or as many as there are."""
    return np.bincount(places, amounts, num_places).astype(np.float64)


def mean_of_defined(values: Floats) -> float:
    """Return the mean of what is defined; NaN where nothing is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _ratio(above: Floats, below: Floats, where_zero: float = float("nan")) -> Floats:
    return np.divide(above, below, out=np.full(np.shape(below), where_zero), where=below > 0)
