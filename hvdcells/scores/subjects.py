"""Predictions subject by subject."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hvdcells.scores.formulas import Floats, sums_by
from hvdcells.scores.scorer import called


def subject_predictions(
    subjects: Iterable[str], labels: ArrayLike, probabilities: ArrayLike
) -> tuple[pd.DataFrame, Floats]:
    """Bring predictions of images to one row per subject.

    A subject's probabilities are the means over its images, its label that of most of its images (in C-NMC all images
    of a subject have one label), of as many the last.

    Returns:
        Columns `subject`, `label`, `images`, `mixed` (whether its images are of several classes), ordered by subject;
        and the probabilities, (subjects, classes).
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    codes, names = pd.factorize(np.asarray(list(subjects)), sort=True)
    counts = np.zeros((len(names), probabilities.shape[1]))
    np.add.at(counts, (codes, labels), 1)
    sums = np.stack([sums_by(codes, column, len(names)) for column in probabilities.T], axis=1)
    table = pd.DataFrame(
        {
            "subject": names,
            "label": called(counts),
            "images": counts.sum(1).astype(int),
            "mixed": (counts > 0).sum(1) > 1,
        }
    )
    return table, sums / counts.sum(1, keepdims=True)


def subject_table(
    predictions: pd.DataFrame, probabilities: Floats, watched: int | None, *, resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Return one row per subject, the last class first, then by mean probability.

    Args:
        predictions: one row per image with `subject` and `label`.
        probabilities: of these images, (n, classes).
        watched: class whose probability is told; None for that of each subject's own class.
        resamples: draws of the bootstrap.
        seed: of the bootstrap.

    Returns:
        Columns `subject`, `label`, `images`, `mixed` as `subject_predictions` returns them, `probability` (mean over
        its images), `own` (mean probability of the subject's own class), `right` (share of its images called right),
        `called` (a label), and `low`, `high`: the 95 % percentile interval of the mean probability from a bootstrap
        over the subject's images. It tells how much its images agree, not how the subject would be judged from other
        samples of blood.
    """
    subjects, labels = predictions["subject"].to_numpy(), predictions["label"].to_numpy()
    table, means = subject_predictions(subjects, labels, probabilities)
    right = pd.Series(called(probabilities) == labels).groupby(subjects).mean()
    table["right"] = right.loc[table["subject"]].to_numpy()
    table["called"] = called(means)
    told = table["label"].to_numpy() if watched is None else np.full(len(table), watched)
    table["own"] = means[np.arange(len(table)), table["label"]]
    table["probability"] = means[np.arange(len(table)), told]
    table[["low", "high"]] = _bounds(table["subject"], told, subjects, probabilities, resamples, seed)
    return table.sort_values(["label", "probability"], ascending=[False, True], ignore_index=True)


def _bounds(
    names: Iterable[str],
    told: NDArray[np.intp],
    subjects: NDArray[np.object_],
    probabilities: Floats,
    resamples: int,
    seed: int,
) -> Floats:
    rng = np.random.default_rng(seed)
    rows = pd.Series(np.arange(len(subjects))).groupby(subjects).indices
    intervals = []
    for name, label in zip(names, told, strict=True):
        values = probabilities[rows[name], label]
        intervals.append(np.percentile(rng.choice(values, (resamples, len(values))).mean(axis=1), [2.5, 97.5]))
    return np.array(intervals)
