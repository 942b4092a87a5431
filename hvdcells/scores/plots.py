"""Pictures of scores, drawn by matplotlib. Each function returns one `Figure`; draw and save in `styled()`."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from hvdcells.data.columns import CANCER
from hvdcells.scores.classification import classification_scores
from hvdcells.scores.curves import calibration, precision_recall_points, roc_points

NEUTRAL, MODEL, HEALTHY_COLOUR, CANCER_COLOUR, GUIDE = "#6b7280", "#1d4ed8", "#0f766e", "#c2410c", "#9ca3af"
"""Colours that stay apart for colour-blind readers and in grey print."""


def styled() -> AbstractContextManager[None]:
    """Set matplotlib to the style of the figures, to draw and save them inside a `with`."""
    return matplotlib.rc_context(
        {
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#e5e7eb",
            "axes.axisbelow": True,
            "legend.frameon": False,
            "svg.hashsalt": "hvdcells",  # makes the same figure the same file
        }
    )


def new_figure(width: float = 4.4, height: float = 3.4) -> tuple[Figure, Axes]:
    """Return an empty figure of so many inches, and its axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def confusion(matrix: Sequence[Sequence[int]], class_names: Sequence[str], what: str) -> Figure:
    """Counts of images or subjects, with their share of the true class, by which the cells are shaded."""
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = new_figure(4.4, 3.6)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(2, 2):
        axes.text(
            column,
            row,
            f"{counts[row, column]}\n{shares[row, column]:.1%}",
            ha="center",
            va="center",
            fontsize=14,
            color="white" if shares[row, column] > 0.6 else "#111827",
        )
    axes.set_xticks([0, 1], class_names)
    axes.set_yticks([0, 1], class_names)
    axes.set_xlabel(f"{what} called")
    axes.set_ylabel(f"{what} that are")
    axes.grid(visible=False)
    return figure


def roc(labels: ArrayLike, probabilities: ArrayLike) -> Figure | None:
    """The receiver operating characteristic; None where it is not defined."""
    points = roc_points(labels, probabilities)
    if points is None:
        return None
    figure, axes = new_figure()
    axes.plot([0, 1], [0, 1], color=GUIDE, linestyle="--", label="chance")
    scores = classification_scores(labels, probabilities)
    axes.plot(*points, color=MODEL, label=f"AUROC {scores['auroc']:.3f}")
    axes.plot(
        1 - scores["specificity"], scores["sensitivity"], "o", color=CANCER_COLOUR, label="probability 0.5", zorder=3
    )
    axes.set_xlabel("1 − specificity (false positive rate)")
    axes.set_ylabel("sensitivity (true positive rate)")
    _unit_square(axes)
    axes.legend(loc="lower right")
    return figure


def precision_recall(labels: ArrayLike, probabilities: ArrayLike) -> Figure | None:
    """Precision by recall of the cancer class; None where it is not defined."""
    points = precision_recall_points(labels, probabilities)
    if points is None:
        return None
    recall, precision, average = points
    figure, axes = new_figure()
    share = float(np.mean(np.asarray(labels) == CANCER))
    axes.axhline(share, color=GUIDE, linestyle="--", label=f"chance ({share:.2f})")
    axes.plot(recall, precision, color=MODEL, drawstyle="steps-post", label=f"average precision {average:.3f}")
    axes.set_xlabel("recall (sensitivity)")
    axes.set_ylabel("precision")
    _unit_square(axes)
    axes.legend(loc="lower left")
    return figure


def reliability(labels: ArrayLike, probabilities: ArrayLike) -> Figure:
    """Reliability diagram: share of cancer by predicted probability, and how many images say so."""
    bins = calibration(labels, probabilities)
    figure = Figure(figsize=(4.4, 4.2), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot([0, 1], [0, 1], color=GUIDE, linestyle="--", label="perfectly calibrated")
    axes.plot(bins.mean_probability, bins.cancer_share, "o-", color=MODEL, label="this model")
    axes.set_ylabel("share that is cancer")
    axes.set_title(f"expected calibration error {bins.expected_calibration_error:.3f}", fontsize=10)
    _unit_square(axes)
    axes.legend(loc="upper left")
    edges = np.linspace(0, 1, 21)
    cancer = np.asarray(labels) == CANCER
    below.hist(
        [np.asarray(probabilities)[~cancer], np.asarray(probabilities)[cancer]],
        edges,
        stacked=True,
        color=[HEALTHY_COLOUR, CANCER_COLOUR],
        label=["healthy", "cancer"],
    )
    below.set_xlabel("predicted probability of cancer")
    below.set_ylabel("images")
    below.legend(fontsize=8, ncols=2)
    return figure


def subjects(table: pd.DataFrame, class_names: Sequence[str]) -> Figure:
    """Mean probability of each subject with its interval; columns as `subject_table` returns them."""
    figure, axes = new_figure(5.2, 1.2 + 0.2 * len(table))
    rows = np.arange(len(table))
    for label, colour, marker in ((0, HEALTHY_COLOUR, "s"), (1, CANCER_COLOUR, "o")):
        chosen = (table["label"] == label).to_numpy()
        members = table[chosen]
        axes.hlines(rows[chosen], members["low"], members["high"], color=colour, alpha=0.5, linewidth=2)
        axes.plot(members["probability"], rows[chosen], marker, color=colour, label=f"is {class_names[label]}")
    axes.axvline(0.5, color=GUIDE, linestyle="--")
    axes.set_yticks(rows, table["subject"], fontsize=8)
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("mean probability of cancer over the subject's images")
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
