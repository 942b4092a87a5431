"""Predictions subject by subject."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


def subject_predictions(subjects: Iterable[str], labels: ArrayLike, probabilities: ArrayLike) -> pd.DataFrame:
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


def subject_table(predictions: pd.DataFrame, *, resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Return one row per subject, cancer first, then by mean probability.

    Args:
        predictions: one row per image with `subject`, `label`, `probability`.
        resamples: draws of the bootstrap.
        seed: of the bootstrap.

    Returns:
        Columns `subject`, `label`, `probability` (mean over its images), `images`, `right` (share of its images
        called right), `called` (0 or 1), and `low`, `high`: the 95 % percentile interval of the mean probability from
        a bootstrap over the subject's images. It tells how much its images agree, not how the subject would be judged
        from other samples of blood.
    """
    labels, probabilities = predictions["label"].to_numpy(), predictions["probability"].to_numpy()
    table = subject_predictions(predictions["subject"], labels, probabilities)
    right = pd.Series((probabilities >= 0.5) == (labels == 1)).groupby(predictions["subject"].to_numpy()).mean()
    table["right"] = right.loc[table["subject"]].to_numpy()
    table["called"] = (table["probability"] >= 0.5).astype(int)
    rng = np.random.default_rng(seed)
    of_subject = dict(iter(predictions.groupby("subject")["probability"]))
    intervals = [
        np.percentile(rng.choice(values, (resamples, len(values))).mean(axis=1), [2.5, 97.5])
        for values in (of_subject[subject].to_numpy() for subject in table["subject"])
    ]
    table[["low", "high"]] = np.array(intervals)
    return table.sort_values(["label", "probability"], ascending=[False, True], ignore_index=True)
