"""The table of predictions: a row per image, and for each class a column of logits and one of probabilities."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hvdcells.scores.formulas import Floats

if TYPE_CHECKING:
    import pandas as pd

_EARLIER_COLUMNS = ("logit", "probability")
"""Of an earlier version, which knew two classes: both of the second one."""


def logit_column(class_name: str) -> str:
    """Return the name of the column with a class's logits."""
    return f"logit_{class_name}"


def probability_column(class_name: str) -> str:
    """Return the name of the column with a class's probabilities."""
    return f"probability_{class_name}"


def prediction_table(images: "pd.DataFrame", logits: NDArray[np.float32], class_names: Sequence[str]) -> "pd.DataFrame":
    """Return the rows of the images with their predictions beside them.

    Args:
        images: one row per image.
        logits: (images, classes), in the order of the rows.
        class_names: by label.
    """
    of_logits = {logit_column(name): column for name, column in zip(class_names, logits.T, strict=True)}
    probabilities = probabilities_of(logits)
    of_classes = {probability_column(name): column for name, column in zip(class_names, probabilities.T, strict=True)}
    return images.assign(**of_logits, **of_classes)


def class_probabilities(predictions: "pd.DataFrame", class_names: Sequence[str]) -> Floats:
    """Return the probabilities in a table of predictions, (images, classes)."""
    return predictions[[probability_column(name) for name in class_names]].to_numpy(dtype=np.float64)


def as_of_now(predictions: "pd.DataFrame", class_names: Sequence[str]) -> "pd.DataFrame":
    """Return a table of predictions with the columns of `prediction_table`, also one that an earlier version wrote.

    That had one logit z and one probability p, of the second class: the logits are (0, z), the probabilities
    (1 − p, p).
    """
    if not {*_EARLIER_COLUMNS} <= {*predictions.columns} or len(class_names) != 2:
        return predictions
    first, second = class_names
    logit, probability = (predictions[name] for name in _EARLIER_COLUMNS)
    columns: dict[str, Any] = {
        logit_column(first): np.zeros_like(logit),
        logit_column(second): logit,
        probability_column(first): 1 - probability,
        probability_column(second): probability,
    }
    return predictions.drop(columns=list(_EARLIER_COLUMNS)).assign(**columns)


def probabilities_of(logits: NDArray[np.float32]) -> Floats:
    """Return the softmax of logits (n, classes): float64 in 0–1, without overflow for large logits."""
    from scipy.special import softmax

    return np.asarray(softmax(logits.astype(np.float64), axis=1))


def mean_log_loss(logits: NDArray[np.float32], labels: NDArray[np.int_]) -> float:
    """Return the mean cross-entropy of logits (n, classes), computed stably for large ones."""
    from scipy.special import log_softmax

    of_classes = log_softmax(logits.astype(np.float64), axis=1)
    return float(-np.mean(of_classes[np.arange(len(labels)), labels]))
