"""The figures of a report, drawn by matplotlib. Each function returns one `Figure`; draw and save in `styled()`."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from hvdcells.data.columns import CANCER
from hvdcells.scores.classification import classification_scores
from hvdcells.scores.curves import calibration, precision_recall_points, roc_points

TRAIN, VALIDATION, HEALTHY_COLOUR, CANCER_COLOUR, GUIDE = "#6b7280", "#1d4ed8", "#0f766e", "#c2410c", "#9ca3af"
"""Colours that stay apart for colour-blind readers and in grey print."""
PARTS = {"input": "#f59e0b", "compute": "#1d4ed8", "communication": "#9ca3af"}
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e7eb",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.hashsalt": "hvdcells",
}
"""Settings of matplotlib to draw and save the figures under; the salt makes the same figure the same file."""


def styled() -> AbstractContextManager[None]:
    """Set matplotlib to the style of the figures, inside a `with`."""
    return matplotlib.rc_context(STYLE)


def _figure(width: float = 4.4, height: float = 3.4) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def loss_curves(epochs: Sequence[dict[str, Any]]) -> Figure:
    """Training and validation loss by epoch."""
    curves = {"training": [e["loss"] for e in epochs], "validation": [e["validation"]["loss"] for e in epochs]}
    return _by_epoch(epochs, curves, "loss")


def score_curves(epochs: Sequence[dict[str, Any]]) -> Figure:
    """Weighted F1 and AUROC of validation by epoch."""
    names = {"weighted_f1": "weighted F1", "auroc": "AUROC"}
    curves = {words: [_number(e["validation"][name]) for e in epochs] for name, words in names.items()}
    figure = _by_epoch(epochs, curves, "validation score", colours=(VALIDATION, GUIDE))
    figure.axes[0].set_ylim(top=1.0)
    return figure


def rate_curve(epochs: Sequence[dict[str, Any]]) -> Figure:
    """Learning rate at the end of each epoch."""
    return _by_epoch(epochs, {"": [e["learning_rate"] for e in epochs]}, "learning rate at the end of the epoch")


def speed_curve(epochs: Sequence[dict[str, Any]]) -> Figure:
    """Training images per second over all ranks by epoch."""
    figure = _by_epoch(epochs, {"": [_number(e["images_per_second"]) for e in epochs]}, "images/s over all workers")
    figure.axes[0].set_ylim(bottom=0)
    return figure


def _by_epoch(
    epochs: Sequence[dict[str, Any]],
    curves: dict[str, list[float]],
    what: str,
    colours: tuple[str, ...] = (TRAIN, VALIDATION),
) -> Figure:
    figure, axes = _figure()
    numbers = [epoch["epoch"] for epoch in epochs]
    colours = colours if len(curves) > 1 else (VALIDATION,)
    for (name, values), colour in zip(curves.items(), colours, strict=True):
        axes.plot(numbers, values, color=colour, label=name, marker="o", markersize=3)
    best = [epoch["epoch"] for epoch in epochs if epoch["best"]]
    if best:
        axes.axvline(best[-1], color=CANCER_COLOUR, linestyle=":", label="epoch kept")
    axes.set_xlabel("epoch")
    axes.set_ylabel(what)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    return figure


def confusion(matrix: Sequence[Sequence[int]], class_names: Sequence[str], what: str) -> Figure:
    """Counts of images or subjects, with their share of the true class, by which the cells are shaded."""
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _figure(4.4, 3.6)
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


def roc(labels: np.ndarray, probabilities: np.ndarray) -> Figure | None:
    """The receiver operating characteristic; None where it is not defined."""
    points = roc_points(labels, probabilities)
    if points is None:
        return None
    figure, axes = _figure()
    axes.plot([0, 1], [0, 1], color=GUIDE, linestyle="--", label="chance")
    scores = classification_scores(labels, probabilities)
    axes.plot(*points, color=VALIDATION, label=f"AUROC {scores['auroc']:.3f}")
    axes.plot(
        1 - scores["specificity"], scores["sensitivity"], "o", color=CANCER_COLOUR, label="probability 0.5", zorder=3
    )
    axes.set_xlabel("1 − specificity (false positive rate)")
    axes.set_ylabel("sensitivity (true positive rate)")
    _unit_square(axes)
    axes.legend(loc="lower right")
    return figure


def precision_recall(labels: np.ndarray, probabilities: np.ndarray) -> Figure | None:
    """Precision by recall of the cancer class; None where it is not defined."""
    points = precision_recall_points(labels, probabilities)
    if points is None:
        return None
    recall, precision, average = points
    figure, axes = _figure()
    share = float(np.mean(np.asarray(labels) == CANCER))
    axes.axhline(share, color=GUIDE, linestyle="--", label=f"chance ({share:.2f})")
    axes.plot(recall, precision, color=VALIDATION, drawstyle="steps-post", label=f"average precision {average:.3f}")
    axes.set_xlabel("recall (sensitivity)")
    axes.set_ylabel("precision")
    _unit_square(axes)
    axes.legend(loc="lower left")
    return figure


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> Figure:
    """Reliability diagram: share of cancer by predicted probability, and how many images say so."""
    bins = calibration(labels, probabilities)
    figure = Figure(figsize=(4.4, 4.2), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot([0, 1], [0, 1], color=GUIDE, linestyle="--", label="perfectly calibrated")
    axes.plot(bins.mean_probability, bins.cancer_share, "o-", color=VALIDATION, label="this model")
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
    figure, axes = _figure(5.2, 1.2 + 0.2 * len(table))
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


def step_split(epochs: Sequence[dict[str, Any]]) -> Figure | None:
    """Share of input, compute and communication in the steps of each epoch; None where no step was timed."""
    timed = [epoch for epoch in epochs if epoch["shares"]]
    if not timed:
        return None
    figure, axes = _figure()
    numbers, base = [epoch["epoch"] for epoch in timed], np.zeros(len(timed))
    for part, colour in PARTS.items():
        shares = np.array([epoch["shares"][part] for epoch in timed])
        axes.bar(numbers, shares, bottom=base, color=colour, label=part, width=0.85)
        base += shares
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("share of the steps, mean over ranks")
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def rank_split(epochs: Sequence[dict[str, Any]]) -> Figure | None:
    """Seconds of input, compute and communication of each rank over all epochs; None where there are no epochs."""
    if not epochs:
        return None
    num_ranks = len(epochs[0]["input_seconds"])
    figure, axes = _figure(4.4, 1.4 + 0.35 * num_ranks)
    base = np.zeros(num_ranks)
    for part, colour in PARTS.items():
        seconds = np.sum([epoch[f"{part}_seconds"] for epoch in epochs], axis=0)
        axes.barh(np.arange(num_ranks), seconds, left=base, color=colour, label=part)
        base += seconds
    axes.set_yticks(range(num_ranks), [f"rank {rank}" for rank in range(num_ranks)])
    axes.invert_yaxis()
    axes.set_xlabel("seconds in steps, all epochs")
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
