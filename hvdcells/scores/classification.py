"""Scores of gathered predictions: what they are called, and one dictionary of them as JSON holds it.

They are computed once from all predictions, never by averaging the scores of ranks. The formulas and their sources are
in `formulas.py`; tests hold them against scikit-learn.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hvdcells.scores.scorer import Scorer

SCORE_NAMES = (
    "weighted_f1",
    "macro_f1",
    "accuracy",
    "balanced_accuracy",
    "kappa",
    "matthews",
    "auroc",
    "average_precision",
    "log_loss",
    "brier_score",
    "calibration_error",
)
"""Of any number of classes."""
POSITIVE_SCORE_NAMES = (
    "positive_f1",
    "sensitivity",
    "specificity",
    "precision",
    "positive_auroc",
    "positive_average_precision",
)
"""Of the model as a test for illness, where some classes count as ill."""
_SAME_OF_TWO = ("positive_auroc",)
"""Said already by another score where there are two classes."""
_UNBOUNDED = ("log_loss",)
_FROM_MINUS_ONE = ("kappa", "matthews")


def score_names(num_classes: int, positive: Sequence[Any]) -> tuple[str, ...]:
    """Return the scores to show, in order; what counts as ill comes after the scores of all classes."""
    of_illness = tuple(name for name in POSITIVE_SCORE_NAMES if num_classes > 2 or name not in _SAME_OF_TWO)
    return SCORE_NAMES + (of_illness if positive else ())


def score_range(name: str) -> tuple[float, float]:
    """Return the least and the largest value of a score."""
    return -1.0 if name in _FROM_MINUS_ONE else 0.0, float("inf") if name in _UNBOUNDED else 1.0


def score_label(name: str, num_classes: int, positive: Sequence[str] = ()) -> str:
    """Return how a score is called where people read it.

    Args:
        name: one of `SCORE_NAMES` or `POSITIVE_SCORE_NAMES`, or `loss`.
        num_classes: of the dataset.
        positive: names of the classes that count as ill.
    """
    ill, mean = " + ".join(positive), "" if num_classes == 2 else "macro "
    words = {
        "weighted_f1": "weighted F1",
        "macro_f1": "macro F1",
        "balanced_accuracy": "balanced accuracy",
        "kappa": "Cohen's kappa",
        "matthews": "Matthews' coefficient",
        "auroc": f"{mean}AUROC",
        "average_precision": "macro average precision",
        "log_loss": "log loss",
        "brier_score": "Brier score",
        "calibration_error": "calibration error",
        "positive_f1": f"F1 of {ill}",
        "positive_auroc": f"AUROC of {ill}",
        "positive_average_precision": f"average precision of {ill}",
    }
    return words.get(name, name)


def positive_labels(class_names: Sequence[str], positive_classes: Sequence[str]) -> tuple[int, ...]:
    """Return the labels of the classes that count as ill."""
    return tuple(label for label, name in enumerate(class_names) if name in positive_classes)


def classification_scores(labels: ArrayLike, probabilities: ArrayLike, positive: Sequence[int] = ()) -> dict[str, Any]:
    """Score predictions.

    Args:
        labels: int, shape (n,), the class of each image.
        probabilities: float, shape (n, classes); an image is called the class of the largest one, and counts as called
            ill from a probability of 0.5 on that it is of a class that counts as ill.
        positive: labels of the classes that count as ill.

    Returns:
        `images`; the values of `SCORE_NAMES`, and of `POSITIVE_SCORE_NAMES` where a class counts as ill; `per_class`,
        by label: `images` and the values of `scorer.CLASS_SCORE_NAMES`; `confusion_matrix`, by true and called label;
        and, where a class counts as ill, `positive_confusion_matrix` as [[TN, FP], [FN, TP]]. A score that is not
        defined, such as the AUROC of a class without images, is None.

    Raises:
        ValueError: as `scorer.checked`.
    """
    scorer = Scorer(labels, probabilities, positive)
    found = scorer.scores()
    images = found.confusion.sum(1).astype(int)
    ill = {"positive_confusion_matrix": found.ill_confusion.astype(int).tolist()} if positive else {}
    return {
        "images": len(scorer.labels),
        **{name: _defined(value) for name, value in found.overall.items()},
        "per_class": [
            {"images": int(images[k]), **{name: _defined(values[k]) for name, values in found.per_class.items()}}
            for k in range(scorer.num_classes)
        ],
        "confusion_matrix": found.confusion.astype(int).tolist(),
        **ill,
    }


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
