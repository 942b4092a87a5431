"""What a decision comes to on a split: at each threshold, before and after calibration, by image and by subject."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hvdcells.scores.decision import Decision, majority, positions, refer_band
from hvdcells.scores.formulas import Floats
from hvdcells.scores.prediction_table import mean_log_loss, probabilities_of

RESAMPLES = 1000
PERCENTILES = (2.5, 97.5)
_RATES = ("weighted_f1", "sensitivity", "specificity", "referred", "errors_left")
NUM_BINS = 10


def judge(
    decision: Decision, logits: NDArray[Any], labels: NDArray[Any], subjects: Sequence[str] | None, refer_share: float
) -> dict[str, Any]:
    """Judge a decision on the images of a split.

    Args:
        decision: chosen on others.
        logits: (n, K).
        labels: int (n,).
        subjects: of each image; None where they are not known: intervals are then over images, and too narrow.
        refer_share: share of the images around the other thresholds that a person should look at.

    Returns:
        `calibration` (`log_loss` and `expected_calibration_error` `before` and `after`), and where classes count as ill
        `thresholds`: by name, `threshold`, `weighted_f1`, `sensitivity`, `specificity`, `referred` (share of images in
        the band around it), `errors_left` (share of the others that are called wrong), and `intervals`: 95 %, from a
        bootstrap over subjects, None where it has no width. And `by_subject` with the rule in use: `subjects`, `right`.
    """
    probabilities = decision.probabilities(logits)
    found: dict[str, Any] = {
        "images": len(labels),
        "calibration": {
            "before": _calibration(logits, labels),
            "after": _calibration(logits / decision.temperature, labels),
        },
    }
    if not decision.positive_classes:
        return found
    is_ill, ill = (
        np.isin(labels, positions(decision.class_names, decision.positive_classes)),
        decision.ill(probabilities),
    )
    units = pd.factorize(np.asarray(range(len(labels)) if subjects is None else subjects))[0]
    found["intervals_over"] = "images" if subjects is None else "subjects"
    found["thresholds"] = {
        name: _at(
            is_ill,
            ill,
            units,
            threshold,
            decision.refer if name == decision.chosen else refer_band(ill, threshold, refer_share),
        )
        for name, threshold in decision.thresholds.items()
    }
    if subjects is not None:
        values = decision.subject_values(subjects, ill)
        truth = majority(subjects, is_ill)
        right = (values >= decision.subject_threshold) == truth
        found["by_subject"] = {"rule": decision.subject_rule, "subjects": len(right), "right": int(right.sum())}
    return found


def expected_calibration_error(probabilities: Floats, labels: NDArray[Any], num_bins: int = NUM_BINS) -> float:
    """Return the mean distance of confidence and accuracy of the likeliest class, over equal bins (Guo et al.)."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    gaps = np.abs(np.bincount(bins, confidence, num_bins) - np.bincount(bins, right, num_bins))
    return float(gaps.sum() / len(labels))


def _calibration(logits: NDArray[Any], labels: NDArray[Any]) -> dict[str, float]:
    error = expected_calibration_error(probabilities_of(logits), labels)
    return {"log_loss": mean_log_loss(logits, labels), "expected_calibration_error": error}


def _at(
    is_ill: NDArray[np.bool_], ill: Floats, units: NDArray[np.int64], threshold: float, band: tuple[float, float]
) -> dict[str, Any]:
    called = ill >= threshold
    referred = (ill >= band[0]) & (ill < band[1])
    kinds = [
        is_ill & called,
        ~is_ill & called,
        is_ill & ~called,
        ~is_ill & ~called,
        referred,
        ~referred & (called != is_ill),
    ]
    # Counts by subject are all that a resample of subjects needs.
    counts = np.stack([np.bincount(units, kind) for kind in kinds], axis=1)
    num_units = len(counts)
    draws = np.random.default_rng(0).multinomial(num_units, np.full(num_units, 1 / num_units), RESAMPLES)
    scores, resampled = _scores(counts.sum(axis=0)[None]), _scores(draws @ counts)
    intervals = {}
    for name in _RATES:
        values = resampled[name][~np.isnan(resampled[name])]
        low, high = np.percentile(values, PERCENTILES) if len(values) else (0.0, 0.0)
        intervals[name] = None if high - low < 1e-9 else (float(low), float(high))
    plain = {name: None if np.isnan(scores[name][0]) else float(scores[name][0]) for name in _RATES}
    return {"threshold": threshold, "refer": band, **plain, "intervals": intervals}


def _scores(counts: NDArray[Any]) -> dict[str, Floats]:
    """Return the scores of rows of counts, in the order of `kinds` above."""
    true_positive, false_positive, false_negative, true_negative, referred, wrong_left = counts.astype(np.float64).T
    num_ill, num_healthy = true_positive + false_negative, true_negative + false_positive
    total = num_ill + num_healthy
    with np.errstate(invalid="ignore", divide="ignore"):
        f1_ill = 2 * true_positive / np.maximum(2 * true_positive + false_positive + false_negative, 1)
        f1_healthy = 2 * true_negative / np.maximum(2 * true_negative + false_positive + false_negative, 1)
        return {
            "weighted_f1": (num_ill * f1_ill + num_healthy * f1_healthy) / total,
            "sensitivity": true_positive / num_ill,
            "specificity": true_negative / num_healthy,
            "referred": referred / total,
            "errors_left": wrong_left / (total - referred),
        }
