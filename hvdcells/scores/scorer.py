"""Scores of predictions whose images may count several times or not at all, as a bootstrap counts them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hvdcells.scores import formulas
from hvdcells.scores.formulas import Floats

CLASS_SCORE_NAMES = ("precision", "recall", "f1", "auroc", "average_precision")
"""Of each class against the rest."""
SUM_TOLERANCE = 1e-4
"""How far the probabilities of an image may sum to something else than 1."""


@dataclass(frozen=True)
class Scores:
    """What came out; NaN is "not defined"."""

    overall: dict[str, float]
    per_class: dict[str, Floats]
    """By name of `CLASS_SCORE_NAMES`, shape (classes,)."""
    confusion: Floats
    """Row the true class, column the called one."""
    ill_confusion: Floats
    """The same of "counts as ill": [[TN, FP], [FN, TP]]; zeros where no class counts as ill."""


def called(probabilities: Floats) -> NDArray[np.intp]:
    """Return the label that each image is called, (n,): of the largest probability, of equal ones the last.

    So of two classes the second is called from a probability of 0.5 on.
    """
    return np.asarray(probabilities.shape[1] - 1 - np.argmax(probabilities[:, ::-1], axis=1))


def ill_probability(probabilities: Floats, positive: Sequence[int]) -> Floats:
    """Return the probability that an image is of a class that counts as ill, (n,); from 0.5 on it is called ill.

    It is summed, not the rest to 1: of one class it is that class's own, with nothing lost in rounding.
    """
    return np.asarray(np.minimum(probabilities[:, list(positive)].sum(1), 1.0))


def checked(labels: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.intp], Floats]:
    """Return labels (n,) and probabilities (n, classes), or refuse what is none.

    Raises:
        ValueError: no images, other lengths, labels that are no class, or probabilities outside 0–1 (or NaN), or that
            do not sum to 1.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    if labels.ndim != 1 or probabilities.ndim != 2 or len(labels) != len(probabilities) or not len(labels):
        raise ValueError(f"labels {labels.shape} and probabilities {probabilities.shape} must be one length above 0")
    if not np.all((probabilities >= 0) & (probabilities <= 1)):
        raise ValueError("probabilities must be between 0 and 1: the model's output is not finite")
    if not np.allclose(probabilities.sum(1), 1, rtol=0, atol=SUM_TOLERANCE):
        raise ValueError("the probabilities of an image must sum to 1 over the classes")
    if not np.all((labels >= 0) & (labels < probabilities.shape[1]) & (labels == labels.astype(np.intp))):
        raise ValueError(f"labels must be 0–{probabilities.shape[1] - 1}, not {sorted(set(labels.tolist()))}")
    return labels.astype(np.intp), probabilities


class Scorer:
    """Scores the same predictions under any weights.

    Args:
        labels: int, shape (n,), the class of each image.
        probabilities: float, shape (n, classes).
        positive: labels of the classes that count as ill.

    Raises:
        ValueError: as `checked`.
    """

    def __init__(self, labels: ArrayLike, probabilities: ArrayLike, positive: Sequence[int] = ()) -> None:
        self.labels, self.probabilities = checked(labels, probabilities)
        self.num_classes, self.positive = self.probabilities.shape[1], tuple(positive)
        called_as = called(self.probabilities)
        self._cells = self.labels * self.num_classes + called_as
        self._is_there = np.bincount(self.labels, minlength=self.num_classes) > 0
        self._levels = _class_levels(self.probabilities, self.positive)
        of_true = self.probabilities[np.arange(len(self.labels)), self.labels]
        # Good 1952; a probability of zero counts as the smallest float that can be told from it, as scikit-learn does.
        self._log_losses = -np.log(np.maximum(of_true, np.finfo(np.float64).eps))
        # Brier 1950, halved, so that it lies in 0–1 and is the squared error of the probability where classes are two.
        self._brier = (np.square(self.probabilities).sum(1) - 2 * of_true + 1) / 2
        self._outcomes, self._sure = calibrated(self.labels, self.probabilities, self.positive)
        self._bins = formulas.bins_of(self._sure)
        self._is_ill = np.isin(self.labels, self.positive)
        ill = ill_probability(self.probabilities, self.positive)
        self._ill_cells = self._is_ill * 2 + (ill >= 0.5)
        self._ill_levels = _levels(ill)

    def scores(self, weights: NDArray[np.float64] | NDArray[np.int64] | None = None) -> Scores:
        """Return the scores when image i counts weights[i] times; None counts each once."""
        weights = np.ones(len(self.labels)) if weights is None else weights.astype(np.float64)
        matrix = self._counts(self._cells, weights, self.num_classes)
        precision, recall, f1 = formulas.class_scores(matrix)
        # A class whose images were not drawn is no worse for it: without this, what is called so would count as F1 0.
        lost = self._is_there & (matrix.sum(1) == 0)
        precision[lost] = f1[lost] = np.nan
        ranked = np.array([self._ranked(k, weights) for k in range(self.num_classes)])
        in_bins = [weights * self._outcomes, weights * self._sure, weights]
        bins = [formulas.sums_by(self._bins, each) for each in in_bins]
        total = weights.sum()
        overall = {
            "weighted_f1": formulas.weighted_f1(f1, matrix),
            "macro_f1": formulas.macro_f1(f1),
            "accuracy": formulas.accuracy(matrix),
            "balanced_accuracy": formulas.balanced_accuracy(recall),
            "kappa": formulas.cohens_kappa(matrix),
            "matthews": formulas.matthews(matrix),
            # The mean over the classes, each against the rest (Provost and Domingos 2000, without their weights).
            "auroc": formulas.mean_of_defined(ranked[:, 0]),
            "average_precision": formulas.mean_of_defined(ranked[:, 1]),
            "log_loss": float(weights @ self._log_losses / total),
            "brier_score": float(weights @ self._brier / total),
            "calibration_error": formulas.calibration_error(*bins),
        }
        ill = self._counts(self._ill_cells, weights, 2)
        if self.positive:
            overall |= self._of_illness(ill, weights)
        per_class = dict(zip(CLASS_SCORE_NAMES, (precision, recall, f1, *ranked.T), strict=True))
        return Scores(overall, per_class, matrix, ill if self.positive else np.zeros((2, 2)))

    def _of_illness(self, matrix: Floats, weights: Floats) -> dict[str, float]:
        precision, recall, f1 = formulas.class_scores(matrix)
        at = _at_levels(self._ill_levels, self._is_ill, weights)
        return {
            "positive_f1": float(f1[1]),
            "sensitivity": float(recall[1]),
            "specificity": float(recall[0]),
            "precision": float(np.nan_to_num(precision[1])),
            "positive_auroc": formulas.auroc(*at),
            "positive_average_precision": formulas.average_precision(*at),
        }

    def _ranked(self, label: int, weights: Floats) -> tuple[float, float]:
        at = _at_levels(self._levels[label], self.labels == label, weights)
        return formulas.auroc(*at), formulas.average_precision(*at)

    @staticmethod
    def _counts(cells: NDArray[np.intp], weights: Floats, side: int) -> Floats:
        return formulas.sums_by(cells, weights, side * side).reshape(side, side)


def calibrated(labels: NDArray[np.intp], probabilities: Floats, positive: Sequence[int]) -> tuple[Floats, Floats]:
    """Return what calibration compares, each (n,): whether something came true, and the probability it was given.

    Of two classes, that the image counts as ill (of label 1 where none does); of more, that it was called right, with
    the probability of the called class (Guo et al. 2017, arXiv 1706.04599).
    """
    if probabilities.shape[1] == 2:
        watched = positive[0] if positive else 1
        return (labels == watched).astype(np.float64), probabilities[:, watched]
    return (called(probabilities) == labels).astype(np.float64), probabilities.max(1)


def _class_levels(probabilities: Floats, positive: Sequence[int]) -> list[NDArray[np.intp]]:
    """Return the levels of each class's probabilities.

    Of two classes one order ranks both, that of the one that counts as ill, in reverse for the other: near 1 a
    probability has fewer digits than near 0, and two sure images would tie for one class alone.
    """
    if probabilities.shape[1] > 2:
        return [_levels(column) for column in probabilities.T]
    watched = positive[0] if positive else 1
    levels = _levels(probabilities[:, watched])
    return [levels if label == watched else levels.max() - levels for label in (0, 1)]


def _levels(values: Floats) -> NDArray[np.intp]:
    """Number the distinct values from the lowest up: that of each row."""
    return np.unique(values, return_inverse=True)[1]


def _at_levels(levels: NDArray[np.intp], is_one: NDArray[np.bool_], weights: Floats) -> tuple[Floats, Floats]:
    return formulas.sums_by(levels, weights * is_one), formulas.sums_by(levels, weights * ~is_one)
