"""95 % intervals of scores: exact ones of proportions over subjects, from a bootstrap for everything else."""

from collections.abc import Hashable, Sequence
from math import isclose

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from hvdcells.data.columns import CANCER
from hvdcells.scores.classification import SCORE_NAMES

Interval = tuple[float, float]
"""The two bounds, low and high."""
CONFIDENCE = 0.95
PERCENTILES = (2.5, 97.5)
"""Of the resampled scores: the bounds of a bootstrap interval."""


def exact_interval(successes: int, trials: int) -> Interval | None:
    """Return the Clopper–Pearson interval of a proportion: it holds the true one in at least 95 % of all samples.

    It has a width however many of the trials succeed: 6 of 6 tell of a proportion of 54 % at least.

    Returns:
        The interval; None without trials.
    """
    if not trials:
        return None
    bounds = binomtest(successes, trials).proportion_ci(CONFIDENCE, method="exact")
    return float(bounds.low), float(bounds.high)


def proportion_intervals(confusion_matrix: Sequence[Sequence[int]]) -> dict[str, Interval | None]:
    """Return exact intervals of the scores that are proportions of counted, independent things, such as subjects.

    Args:
        confusion_matrix: [[TN, FP], [FN, TP]].

    Returns:
        The interval of `sensitivity`, `specificity`, `precision` and `accuracy`; None where nothing is counted.
    """
    (true_negative, false_positive), (false_negative, true_positive) = confusion_matrix
    right, wrong = true_negative + true_positive, false_negative + false_positive
    return {
        "sensitivity": exact_interval(true_positive, true_positive + false_negative),
        "specificity": exact_interval(true_negative, true_negative + false_positive),
        "precision": exact_interval(true_positive, true_positive + false_positive),
        "accuracy": exact_interval(right, right + wrong),
    }


def bootstrap_intervals(
    units: Sequence[Hashable], labels: ArrayLike, probabilities: ArrayLike, *, resamples: int = 1000, seed: int = 0
) -> dict[str, Interval | None]:
    """Return percentile intervals of the scores of images (or subjects) from a bootstrap over units.

    Images of one subject resemble each other, so whole subjects are drawn with replacement (the cluster bootstrap,
    Field and Welsh 2007), not images. Resamples without both classes are drawn again.

    Args:
        units: what each image is drawn with, length n: its subject, or itself where subjects are unknown.
        labels: int, shape (n,), 1 for cancer.
        probabilities: float, shape (n,), of cancer, in 0–1.
        resamples: number of draws.
        seed: of the draws.

    Returns:
        (low, high) by score name. None where all resamples score alike, since an interval without width would claim
        to know a score exactly; and None for all when one class has fewer than two units.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    codes, distinct = pd.factorize(np.asarray(units), sort=True)
    if min(len(np.unique(codes[labels == label])) for label in (0, 1)) < 2:
        return dict.fromkeys(SCORE_NAMES)
    # Scores of a resample need only weights of rows: how often the row's unit was drawn.
    num_units, levels = len(distinct), np.unique(probabilities, return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    draws: list[dict[str, float]] = []
    while len(draws) < resamples:
        times = np.bincount(rng.integers(num_units, size=num_units), minlength=num_units)
        weights = times[codes]
        if np.any(weights[labels == CANCER]) and np.any(weights[labels != CANCER]):
            draws.append(_weighted_scores(labels, probabilities, levels, weights))
    scores = pd.DataFrame(draws)
    bounds = {name: np.percentile(scores[name].to_numpy(), PERCENTILES) for name in SCORE_NAMES}
    return {
        # The tolerance is that of sums of floats: a score that is always the same may differ in its last digit.
        name: None if isclose(low, high, abs_tol=1e-9) else (float(low), float(high))
        for name, (low, high) in bounds.items()
    }


def _weighted_scores(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], levels: NDArray[np.int64], weights: NDArray[np.int64]
) -> dict[str, float]:
    """Return the scores when row i counts weights[i] times; both classes have weight.

    `levels` number the distinct probabilities from the lowest up: that of each row, int64 of shape (n,).
    """
    predicted = probabilities >= 0.5
    cancer = labels == CANCER
    true_positive, false_negative = weights[cancer & predicted].sum(), weights[cancer & ~predicted].sum()
    false_positive, true_negative = weights[~cancer & predicted].sum(), weights[~cancer & ~predicted].sum()
    cancer_f1 = 2 * true_positive / (2 * true_positive + false_positive + false_negative)
    healthy_f1 = 2 * true_negative / max(2 * true_negative + false_positive + false_negative, 1)
    num_cancer, num_healthy = true_positive + false_negative, true_negative + false_positive
    total = num_cancer + num_healthy
    called_cancer = true_positive + false_positive
    return {
        "weighted_f1": float((num_cancer * cancer_f1 + num_healthy * healthy_f1) / total),
        "macro_f1": float((cancer_f1 + healthy_f1) / 2),
        "cancer_f1": float(cancer_f1),
        "sensitivity": float(true_positive / num_cancer),
        "specificity": float(true_negative / num_healthy),
        "precision": float(true_positive / called_cancer) if called_cancer else 0.0,
        "accuracy": float((true_positive + true_negative) / total),
        "auroc": _weighted_auroc(cancer, levels, weights),
    }


def _weighted_auroc(cancer: NDArray[np.bool_], levels: NDArray[np.int64], weights: NDArray[np.int64]) -> float:
    """Return the share of pairs of a healthy and a cancer image in the right order (Hanley and McNeil 1982), ties half.

    scikit-learn checks its arguments and sorts anew at each of a thousand resamples: 3 of an evaluation's 4 seconds.
    """
    positives, negatives = np.bincount(levels, weights * cancer), np.bincount(levels, weights * ~cancer)
    lower = np.cumsum(negatives) - negatives
    return float(positives @ (lower + negatives / 2) / (positives.sum() * negatives.sum()))
