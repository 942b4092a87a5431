"""Scores of gathered predictions, on plain numbers.

They are computed once from all predictions, never by averaging the scores of ranks. The challenge's metric is
the weighted F1 (C-NMC 2019: classes weighted by their number of images).

scikit-learn is imported by the functions that use it: a rank needs it after its first epoch, and its import, a
quarter of TensorFlow's own, would delay the first step.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hvdcells.data.columns import CANCER

SCORE_NAMES = (
    "weighted_f1",
    "macro_f1",
    "cancer_f1",
    "sensitivity",
    "specificity",
    "precision",
    "accuracy",
    "auroc",
)


def score_label(name: str, class_names: Sequence[str]) -> str:
    """Return how a score is called where people read it."""
    words = {
        "weighted_f1": "weighted F1",
        "macro_f1": "macro F1",
        "cancer_f1": f"F1 of {class_names[CANCER]} (cancer)",
        "auroc": "AUROC",
    }
    return words.get(name, name)


def classification_scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """Score predictions of two classes.

    Args:
        labels: int, shape (n,), values 0 (healthy) and 1 (cancer).
        probabilities: float, shape (n,), probability of cancer in 0–1; from 0.5 on an image is called cancer.

    Returns:
        The values of `SCORE_NAMES`, `images`, and `confusion_matrix` as [[TN, FP], [FN, TP]]. A score that is not
        defined (AUROC, sensitivity or specificity without images of a class) is None.

    Raises:
        ValueError: no images, other lengths, or probabilities outside 0–1 (or NaN).
    """
    from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score, roc_auc_score

    labels = np.asarray(labels)
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if labels.shape != probabilities.shape or labels.ndim != 1 or not len(labels):
        raise ValueError(f"labels {labels.shape} and probabilities {probabilities.shape} must be one length above 0")
    if not np.all((probabilities >= 0) & (probabilities <= 1)):
        raise ValueError("probabilities must be between 0 and 1: the model's output is not finite")
    if not np.all((labels == 0) | (labels == 1)):
        raise ValueError(f"labels must be 0 or 1, not {sorted(set(labels.tolist()))}")
    predicted = (probabilities >= 0.5).astype(labels.dtype)
    has_cancer, has_healthy = bool(np.any(labels == CANCER)), bool(np.any(labels != CANCER))
    # zero_division=0: a class that is never predicted has F1 0, as in the challenge's scoring.
    options = {"zero_division": 0}
    return {
        "images": len(labels),
        "weighted_f1": float(f1_score(labels, predicted, average="weighted", **options)),
        "macro_f1": float(f1_score(labels, predicted, average="macro", labels=[0, 1], **options)),
        "cancer_f1": float(f1_score(labels, predicted, pos_label=CANCER, **options)),
        "sensitivity": float(recall_score(labels, predicted, pos_label=CANCER)) if has_cancer else None,
        "specificity": float(recall_score(labels, predicted, pos_label=0)) if has_healthy else None,
        "precision": float(precision_score(labels, predicted, pos_label=CANCER, **options)),
        "accuracy": float(np.mean(labels == predicted)),
        "auroc": float(roc_auc_score(labels, probabilities)) if has_cancer and has_healthy else None,
        "confusion_matrix": confusion_matrix(labels, predicted, labels=[0, 1]).tolist(),
    }


def subject_predictions(subjects: Sequence[str], labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Bring predictions of images to one row per subject.

    A subject's probability is the mean over its images, its label that of most of its images (in C-NMC all
    images of a subject have one label).

    Returns:
        Columns `subject`, `label`, `probability`, `images`, ordered by subject.
    """
    frame = pd.DataFrame({"subject": list(subjects), "label": labels, "probability": probabilities})
    grouped = frame.groupby("subject", sort=True)
    return grouped.agg(
        label=("label", lambda values: int(values.mean() >= 0.5)),
        probability=("probability", "mean"),
        images=("label", "size"),
    ).reset_index()


def bootstrap_intervals(
    subjects: Sequence[str], labels: np.ndarray, probabilities: np.ndarray, *, resamples: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float] | None]:
    """Percentile intervals (95 %) of the image scores from a bootstrap over subjects.

    Images of one subject resemble each other, so whole subjects are drawn with replacement (the cluster
    bootstrap, Field and Welsh 2007), not images. Resamples without both classes are drawn again.

    Returns:
        (low, high) by score name; None for all when one class has fewer than two subjects.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    codes, names = pd.factorize(np.asarray(subjects), sort=True)
    rows_of = [np.flatnonzero(codes == code) for code in range(len(names))]
    classes_of = [set(labels[rows].tolist()) for rows in rows_of]
    if min(sum(label in classes for classes in classes_of) for label in (0, 1)) < 2:
        return dict.fromkeys(SCORE_NAMES)
    # Scores of a resample need only weights of rows: how often the row's subject was drawn.
    levels = np.unique(probabilities, return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    draws = []
    while len(draws) < resamples:
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        weights = times[codes]
        if np.any(weights[labels == CANCER]) and np.any(weights[labels != CANCER]):
            draws.append(_weighted_scores(labels, probabilities, levels, weights))
    scores = pd.DataFrame(draws)
    return {name: tuple(np.percentile(scores[name], [2.5, 97.5]).tolist()) for name in SCORE_NAMES}


def _weighted_scores(
    labels: np.ndarray, probabilities: np.ndarray, levels: np.ndarray, weights: np.ndarray
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


def _weighted_auroc(cancer: np.ndarray, levels: np.ndarray, weights: np.ndarray) -> float:
    """Return the share of pairs of a healthy and a cancer image in the right order (Hanley and McNeil 1982), ties half.

    scikit-learn checks its arguments and sorts anew at each of a thousand resamples: 3 of an evaluation's 4 seconds.
    """
    positives, negatives = np.bincount(levels, weights * cancer), np.bincount(levels, weights * ~cancer)
    lower = np.cumsum(negatives) - negatives
    return float(positives @ (lower + negatives / 2) / (positives.sum() * negatives.sum()))
