"""Scores of gathered predictions, on plain numbers.

They are computed once from all predictions, never by averaging the scores of ranks. The challenge's metric is
the weighted F1 (C-NMC 2019: classes weighted by their number of images).

scikit-learn is imported by the functions that use it: a rank needs it after its first epoch, and its import, a
quarter of TensorFlow's own, would delay the first step.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

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


def classification_scores(labels: ArrayLike, probabilities: ArrayLike) -> dict[str, Any]:
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
