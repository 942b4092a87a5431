"""Pictures of scores, drawn by matplotlib. Each function returns one `Figure`; draw and save in `styled()`."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from hvdcells.scores.curves import calibration, precision_recall_points, roc_points
from hvdcells.scores.formulas import Floats
from hvdcells.scores.scorer import calibrated, called
from hvdcells.secrets import visible

NEUTRAL, MODEL, ACCENT, GUIDE = "#6b7280", "#1d4ed8", "#c2410c", "#9ca3af"
"""Colours that stay apart for colour-blind readers and in grey print."""
_TWO_COLOURS = ("#0f766e", ACCENT)
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#111827")
"""The colours of Okabe and Ito (2008), dark enough on white."""
_STYLES, _MARKERS = ("-", "--", ":", "-."), "osD^vPX*<>"
FEW_CLASSES = 7
"""So many classes fit into the legend inside a figure, each with a colour of its own."""
LONGEST_NAME = 22
"""Letters of a class name that are drawn."""


def plain_text() -> AbstractContextManager[None]:
    """Let matplotlib take texts as they are, inside a `with`: `P$5_^$` is a name, no formula."""
    return matplotlib.rc_context({"text.parse_math": False, "text.usetex": False})


def styled() -> AbstractContextManager[None]:
    """Set matplotlib to the style of the figures, to draw and save them inside a `with`."""
    return matplotlib.rc_context(
        {
            "text.parse_math": False,  # see `plain_text`
            "text.usetex": False,
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


def class_colour(label: int, num_classes: int) -> str:
    """Return the colour of a class; beyond `FEW_CLASSES` they come again, in other line styles and markers."""
    return _TWO_COLOURS[label] if num_classes == 2 else _COLOURS[label % len(_COLOURS)]


def short_name(name: str) -> str:
    """Return a class name that fits into a figure."""
    name = visible(name)
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def confusion(matrix: Sequence[Sequence[int]], class_names: Sequence[str], what: str) -> Figure:
    """Counts of images or subjects, with their share of the true class, by which the cells are shaded."""
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    num_classes = len(counts)
    is_small = num_classes <= FEW_CLASSES
    side = 3.6 if num_classes <= 3 else 1.6 + 0.62 * num_classes if is_small else 2.2 + 0.46 * num_classes
    figure, axes = new_figure(side + 0.8, side)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    letters = 14 if num_classes <= 3 else 9 if is_small else 7
    for row, column in np.ndindex(num_classes, num_classes):
        share = f"{shares[row, column]:.1%}" if is_small else f"{shares[row, column]:.0%}"
        if is_small or counts[row, column]:  # among many, those that hold something are to be seen
            axes.text(
                column,
                row,
                f"{counts[row, column]}\n{share}",
                ha="center",
                va="center",
                fontsize=letters,
                color="white" if shares[row, column] > 0.6 else "#111827",
            )
    names = [short_name(name) for name in class_names]
    turned: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if num_classes > 3 else {}
    axes.set_xticks(range(num_classes), names, fontsize=10 if is_small else 8, **turned)
    axes.set_yticks(range(num_classes), names, fontsize=10 if is_small else 8)
    axes.set_xlabel(f"{what} called")
    axes.set_ylabel(f"{what} that are")
    axes.grid(visible=False)
    return figure


def roc(
    labels: ArrayLike, probabilities: ArrayLike, class_names: Sequence[str], scores: dict[str, Any], watched: int = 1
) -> Figure | None:
    """The receiver operating characteristic of each class against the rest; None where none is defined.

    Args:
        labels: int, shape (n,).
        probabilities: shape (n, classes).
        class_names: by label.
        scores: as `classification_scores` returns them.
        watched: of two classes, the one whose curve is drawn; the other's is the same, mirrored.
    """
    probabilities = np.asarray(probabilities)
    figure, axes, drawn = _of_classes(labels, probabilities, class_names, scores, watched, "auroc", roc_points)
    if not drawn:
        return None
    axes.plot([0, 1], [0, 1], color=GUIDE, linestyle="--", zorder=1, label="chance")
    if len(class_names) == 2:
        is_class = np.asarray(labels) == watched
        calls = called(probabilities) == watched
        axes.plot(np.mean(calls[~is_class]), np.mean(calls[is_class]), "o", color=ACCENT, label="probability 0.5")
    axes.set_xlabel("1 − specificity (false positive rate)")
    axes.set_ylabel("sensitivity (true positive rate)")
    _legend(figure, axes, len(class_names), "lower right")
    return figure


def precision_recall(
    labels: ArrayLike, probabilities: ArrayLike, class_names: Sequence[str], scores: dict[str, Any], watched: int = 1
) -> Figure | None:
    """Precision by recall of each class; None where none is defined. Arguments as `roc`."""
    probabilities = np.asarray(probabilities)
    figure, axes, drawn = _of_classes(
        labels, probabilities, class_names, scores, watched, "average_precision", precision_recall_points
    )
    if not drawn:
        return None
    if len(class_names) == 2:
        share = float(np.mean(np.asarray(labels) == watched))
        axes.axhline(share, color=GUIDE, linestyle="--", label=f"chance ({share:.2f})")
    axes.set_xlabel("recall (sensitivity)")
    axes.set_ylabel("precision")
    _legend(figure, axes, len(class_names), "lower left")
    return figure


def _of_classes(
    labels: ArrayLike,
    probabilities: Floats,
    class_names: Sequence[str],
    scores: dict[str, Any],
    watched: int,
    area: str,
    points_of: Callable[[ArrayLike, ArrayLike], tuple[Floats, Floats] | None],
) -> tuple[Figure, Axes, int]:
    """Draw one curve a class, with the area that `scores` have for it; return how many are defined, too."""
    num_classes = len(class_names)
    is_small = num_classes <= FEW_CLASSES
    figure, axes = new_figure(4.4 if is_small else 6.6, 3.4 if is_small else max(4.0, 0.8 + 0.17 * num_classes))
    drawn = 0
    words = {"auroc": "AUROC", "average_precision": "average precision"}[area]
    for label, name in enumerate(class_names) if num_classes > 2 else [(watched, "")]:
        points = points_of(np.asarray(labels) == label, probabilities[:, label])
        if points is None:
            continue
        drawn += 1
        value = scores["per_class"][label][area]
        axes.plot(
            *points,
            color=MODEL if num_classes == 2 else class_colour(label, num_classes),
            linestyle=_STYLES[label // len(_COLOURS) % len(_STYLES)] if num_classes > 2 else "-",
            drawstyle="default" if area == "auroc" else "steps-post",
            linewidth=1.5,
            label=f"{short_name(name) or words} {value:.3f}",
        )
    return figure, axes, drawn


def reliability(
    labels: ArrayLike, probabilities: ArrayLike, class_names: Sequence[str], positive: Sequence[int]
) -> Figure:
    """Reliability diagram: how often came true what was given a probability, and how many images say so.

    Of two classes, that an image is of the one that counts as ill; of more, that it is what it is called.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    came_true, given = calibrated(labels, probabilities, positive)
    bins = calibration(came_true, given)
    figure = Figure(figsize=(4.4, 4.2), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot([0, 1], [0, 1], color=GUIDE, linestyle="--", label="perfectly calibrated")
    axes.plot(bins.mean_probability, bins.share, "o-", color=MODEL, label="this model")
    axes.set_title(f"expected calibration error {bins.expected_calibration_error:.3f}", fontsize=10)
    _unit_square(axes)
    axes.legend(loc="upper left")
    if len(class_names) == 2:
        watched = positive[0] if positive else 1
        names = [short_name(class_names[label]) for label in (1 - watched, watched)]
        axes.set_ylabel(f"share that is {names[1]}")
        below.set_xlabel(f"predicted probability of {names[1]}")
    else:
        names = ["called wrong", "called right"]
        axes.set_ylabel("share called right")
        below.set_xlabel("probability of the called class")
    below.hist(
        [given[came_true == 0], given[came_true == 1]],
        np.linspace(0, 1, 21),
        stacked=True,
        color=list(_TWO_COLOURS if len(class_names) == 2 else reversed(_TWO_COLOURS)),
        label=names,
    )
    below.set_ylabel("images")
    below.legend(fontsize=8, ncols=2)
    return figure


def subjects(table: pd.DataFrame, class_names: Sequence[str], watched: int | None) -> Figure:
    """Mean probability of each subject with its interval; columns as `subject_table` returns them.

    Args:
        table: its rows are drawn in order.
        class_names: by label.
        watched: the class whose probability is drawn; None for each subject's own.
    """
    num_classes = len(class_names)
    there = sorted(set(table["label"]))
    columns = 2 if num_classes <= FEW_CLASSES else 3
    figure, axes = new_figure(5.2 if num_classes <= FEW_CLASSES else 7, 1.2 + 0.2 * (len(table) + len(there) / columns))
    rows = np.arange(len(table))
    for label in there:
        chosen = (table["label"] == label).to_numpy()
        members, colour = table[chosen], class_colour(label, num_classes)
        marker = "so"[label] if num_classes == 2 else _MARKERS[label % len(_MARKERS)]
        axes.hlines(rows[chosen], members["low"], members["high"], color=colour, alpha=0.5, linewidth=2)
        axes.plot(
            members["probability"], rows[chosen], marker, color=colour, label=f"is {short_name(class_names[label])}"
        )
    if num_classes == 2:
        axes.axvline(0.5, color=GUIDE, linestyle="--")
    axes.set_yticks(rows, [short_name(str(name)) for name in table["subject"]], fontsize=8)
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    of_what = "its own class" if watched is None else short_name(class_names[watched])
    axes.set_xlabel(f"subject's mean probability of {of_what}")
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside upper center", ncols=columns)
    return figure


def _legend(figure: Figure, axes: Axes, num_classes: int, place: Literal["lower right", "lower left"]) -> None:
    _unit_square(axes)
    if num_classes <= FEW_CLASSES:
        axes.legend(loc=place, fontsize=10 if num_classes <= 3 else 8)
    else:
        figure.legend(loc="outside right upper", fontsize=7, ncols=1 if num_classes <= 24 else 2)


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
