"""The figures of a training: curves over its epochs, and where its time went. Draw and save in `plots.styled()`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from hvdcells.scores.classification import score_label
from hvdcells.scores.plots import ACCENT, GUIDE, MODEL, NEUTRAL, new_figure

_THREE = (MODEL, "#0f766e", GUIDE)
PARTS = {"input": "#f59e0b", "compute": "#1d4ed8", "communication": "#9ca3af"}


def loss_curves(epochs: Sequence[dict[str, Any]]) -> Figure:
    """Training and validation loss by epoch."""
    curves = {"training": [e["loss"] for e in epochs], "validation": [e["validation"]["loss"] for e in epochs]}
    return _by_epoch(epochs, curves, "loss")


def score_curves(epochs: Sequence[dict[str, Any]], num_classes: int) -> Figure:
    """Weighted F1, macro F1 of more than two classes, and AUROC of validation by epoch."""
    names = ("weighted_f1", "auroc") if num_classes == 2 else ("weighted_f1", "macro_f1", "auroc")
    curves = {score_label(name, num_classes): [_number(e["validation"][name]) for e in epochs] for name in names}
    figure = _by_epoch(epochs, curves, "validation score", colours=(MODEL, GUIDE) if num_classes == 2 else _THREE)
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
    colours: tuple[str, ...] = (NEUTRAL, MODEL),
) -> Figure:
    figure, axes = new_figure()
    numbers = [epoch["epoch"] for epoch in epochs]
    colours = colours if len(curves) > 1 else (MODEL,)
    for (name, values), colour in zip(curves.items(), colours, strict=True):
        axes.plot(numbers, values, color=colour, label=name, marker="o", markersize=3)
    best = [epoch["epoch"] for epoch in epochs if epoch["best"]]
    if best:
        axes.axvline(best[-1], color=ACCENT, linestyle=":", label="epoch kept")
    axes.set_xlabel("epoch")
    axes.set_ylabel(what)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    return figure


def step_split(epochs: Sequence[dict[str, Any]]) -> Figure | None:
    """Share of input, compute and communication in the steps of each epoch; None where no step was timed."""
    timed = [epoch for epoch in epochs if epoch["shares"]]
    if not timed:
        return None
    figure, axes = new_figure()
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
    num_ranks = max(len(epoch["input_seconds"]) for epoch in epochs)  # fewer where some were lost for a while
    figure, axes = new_figure(4.4, 1.4 + 0.35 * num_ranks)
    base = np.zeros(num_ranks)
    for part, colour in PARTS.items():
        seconds = np.zeros(num_ranks)
        for epoch in epochs:
            seconds[: len(epoch[f"{part}_seconds"])] += epoch[f"{part}_seconds"]
        axes.barh(np.arange(num_ranks), seconds, left=base, color=colour, label=part)
        base += seconds
    axes.set_yticks(range(num_ranks), [f"rank {rank}" for rank in range(num_ranks)])
    axes.invert_yaxis()
    axes.set_xlabel("seconds in steps, all epochs")
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
