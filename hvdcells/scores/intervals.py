"""95 % intervals of scores: exact ones of proportions over subjects, from a bootstrap for everything else."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import betaincinv

from hvdcells.scores.classification import POSITIVE_SCORE_NAMES, SCORE_NAMES
from hvdcells.scores.scorer import CLASS_SCORE_NAMES, Scorer, Scores

Interval = tuple[float, float]
"""The two bounds, low and high."""
NamedIntervals = dict[str, Interval | None]
"""By the name of a score; None where there is none."""
CONFIDENCE = 0.95
WITHOUT_INTERVAL = ("calibration_error",)
"""Scores whose resamples lie above the score itself: over bins the error is biased upward, the fewer distinct images
the more (Kumar et al. 2019, arXiv 1909.10155), and a resample has fewer. Percentiles would be no interval of it."""
PERCENTILES = (2.5, 97.5)
"""Of the resampled scores: the bounds of a bootstrap interval."""


@dataclass(frozen=True)
class Intervals:
    """Of the scores of all classes together, and of each class by label."""

    overall: NamedIntervals
    per_class: list[NamedIntervals]

    def replaced_by(self, other: "Intervals") -> "Intervals":
        """Return these intervals, with those of the other in place of the same ones here."""
        per_class = [own | more for own, more in zip(self.per_class, other.per_class, strict=True)]
        return Intervals(self.overall | other.overall, per_class)


def exact_interval(successes: int, trials: int) -> Interval | None:
    """Return the Clopper–Pearson interval of a proportion: it holds the true one in at least 95 % of all samples.

    Its bounds are quantiles of beta distributions (Clopper and Pearson 1934).
    It has a width however many of the trials succeed: 6 of 6 tell of a proportion of 54 % at least.

    Returns:
        The interval; None without trials.
    """
    if not trials:
        return None
    # `scipy.stats` has the same, and takes a second to import.
    failures, tail = trials - successes, (1 - CONFIDENCE) / 2
    low = betaincinv(successes, failures + 1, tail) if successes else 0
    high = betaincinv(successes + 1, failures, 1 - tail) if failures else 1
    return float(low), float(high)


def proportion_intervals(scores: dict[str, Any]) -> Intervals:
    """Return exact intervals of the scores that are proportions of counted, independent things, such as subjects.

    Args:
        scores: as `classification_scores` returns them.

    Returns:
        The interval of `accuracy`, of `sensitivity`, `specificity` and `precision` where a class counts as ill, and of
        each class's `recall` and `precision`; None where nothing is counted.
    """
    matrix = np.array(scores["confusion_matrix"])
    right = np.diag(matrix)
    overall = {"accuracy": exact_interval(int(right.sum()), int(matrix.sum()))}
    if "positive_confusion_matrix" in scores:
        (true_negative, false_positive), (false_negative, true_positive) = scores["positive_confusion_matrix"]
        overall |= {
            "sensitivity": exact_interval(true_positive, true_positive + false_negative),
            "specificity": exact_interval(true_negative, true_negative + false_positive),
            "precision": exact_interval(true_positive, true_positive + false_positive),
        }
    per_class = [
        {"recall": exact_interval(int(hits), int(true)), "precision": exact_interval(int(hits), int(called))}
        for hits, true, called in zip(right, matrix.sum(1), matrix.sum(0), strict=True)
    ]
    return Intervals(overall, per_class)


def bootstrap_intervals(
    units: Sequence[Hashable],
    labels: ArrayLike,
    probabilities: ArrayLike,
    positive: Sequence[int] = (),
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Intervals:
    """Return percentile intervals of the scores of images (or subjects) from a bootstrap over units.

    Images of one subject resemble each other, so whole subjects are drawn with replacement (the cluster bootstrap,
    Field and Welsh 2007), not images. Resamples of one class alone are drawn again; where classes are more than two and
    a resample lacks one, its means over the classes leave that one out.

    Args:
        units: what each image is drawn with, length n: its subject, or itself where subjects are unknown.
        labels: int, shape (n,), the class of each image.
        probabilities: float, shape (n, classes).
        positive: labels of the classes that count as ill.
        resamples: number of draws.
        seed: of the draws.

    Returns:
        (low, high) by score name. None where all resamples score alike, since an interval without width would claim
        to know a score exactly; of the scores `WITHOUT_INTERVAL`; of a class, or of what counts as ill or as not, that
        has fewer than two units; and for all when fewer than two classes have as many.
    """
    scorer = Scorer(labels, probabilities, positive)
    names = SCORE_NAMES + (POSITIVE_SCORE_NAMES if positive else ())
    codes, distinct = pd.factorize(np.asarray(units), sort=True)
    several = [len(np.unique(codes[scorer.labels == label])) > 1 for label in range(scorer.num_classes)]
    nothing = dict.fromkeys(CLASS_SCORE_NAMES)
    if sum(several) < 2:
        return Intervals(dict.fromkeys(names), [nothing for _ in several])
    # Scores of a resample need only weights of rows: how often the row's unit was drawn.
    num_units, rng = len(distinct), np.random.default_rng(seed)
    draws: list[Scores] = []
    while len(draws) < resamples:
        times = np.bincount(rng.integers(num_units, size=num_units), minlength=num_units)
        weights = times[codes]
        if len(np.unique(scorer.labels[weights > 0])) > 1:
            draws.append(scorer.scores(weights))
    is_ill = np.isin(scorer.labels, positive)
    lacking = {*WITHOUT_INTERVAL}
    if min(len(np.unique(codes[side])) for side in (is_ill, ~is_ill)) < 2:
        lacking |= {*POSITIVE_SCORE_NAMES}
    return Intervals(
        {
            name: None if name in lacking else _interval(np.array([draw.overall[name] for draw in draws]))
            for name in names
        },
        [
            {name: _interval(np.array([draw.per_class[name][k] for draw in draws])) for name in CLASS_SCORE_NAMES}
            if several[k]
            else nothing
            for k in range(scorer.num_classes)
        ],
    )


def _interval(values: "np.ndarray[Any, np.dtype[np.float64]]") -> Interval | None:
    """Return the percentiles of what is defined; None of what is always the same."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return None
    low, high = np.percentile(defined, PERCENTILES)
    # The tolerance is that of sums of floats: a score that is always the same may differ in its last digit.
    return None if isclose(low, high, abs_tol=1e-9) else (float(low), float(high))
