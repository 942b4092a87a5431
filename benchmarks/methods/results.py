"""What a run of a method came to, the same for all of them, and rows of several runs."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.methods.adapters.task import RUN, Task
from benchmarks.methods.catalogue import METHODS, Method
from benchmarks.methods.running import Ending, describe_versions
from hvdcells.scores.classification import classification_scores

AIM_F1 = 0.85

Figures = dict[str, Any]


def epochs_of(outcome: Path, task: Task) -> list[dict[str, Any]]:
    """Return the epochs that a run has done: `ended`, `train_seconds`, `images` and the validation's `weighted_f1`."""
    noted, labels = outcome / "epochs.jsonl", task.labels("validation").astype(int)
    metrics = outcome / RUN / "metrics.jsonl"
    if metrics.exists():
        lines = [json.loads(line) for line in metrics.read_text().splitlines()]
        return [
            {
                "ended": line["ended"],
                # On the rank that notes the epochs, as with the other methods.
                "train_seconds": line["rank_seconds"][0],
                "images": line["images"],
                "weighted_f1": line["validation"]["weighted_f1"],
            }
            for line in lines
        ]
    lines = [json.loads(line) for line in noted.read_text().splitlines()] if noted.exists() else []
    return [
        {
            **{name: line[name] for name in ("ended", "train_seconds", "images")},
            "weighted_f1": _weighted_f1(labels, line["validation"]),
        }
        for line in lines
    ]


def figures_of(outcome: Path, task: Task, ending: Ending) -> Figures:
    """Return the figures of one run.

    `images_per_second`: images of an epoch ÷ median of the training seconds of all epochs but the first.
    `seconds_per_epoch`: from the end of one epoch to the end of the next, with validation, checkpoints and all.
    `seconds_to_start`: from the start of the process to the end of the first epoch, less a later epoch's time.
    `seconds_to_f1`: from the start of the process until predictions of the validation images reached `AIM_F1`; None
    if they never did. `weighted_f1` and `auroc`: of the test images, by the model of the last epoch.
    """
    epochs = epochs_of(outcome, task)
    reached = next((each["ended"] for each in epochs if each["weighted_f1"] >= AIM_F1), None)
    figures: Figures = {
        "reason": ending.reason,
        "seconds": ending.seconds,
        "peak_memory_bytes": ending.peak_memory_bytes,
        "epochs": len(epochs),
        "validation_f1": [each["weighted_f1"] for each in epochs],
        "seconds_to_f1": None if reached is None else reached - ending.began,
        "images_per_epoch": epochs[-1]["images"] if epochs else None,
    }
    if len(epochs) > 1:
        figures["images_per_second"] = epochs[-1]["images"] / median(each["train_seconds"] for each in epochs[1:])
        between = [later["ended"] - earlier["ended"] for earlier, later in pairwise(epochs)]
        figures["seconds_per_epoch"] = median(between)
        figures["seconds_to_start"] = epochs[0]["ended"] - ending.began - median(between)
    predicted = outcome / "test.json"
    if predicted.exists() and ending.reason is None:
        scores = _scores(task.labels("test"), json.loads(predicted.read_text()))
        figures |= {"weighted_f1": scores["weighted_f1"], "auroc": scores["auroc"]}
    return figures


def _weighted_f1(labels: np.ndarray, probabilities: Sequence[float]) -> float:
    return _scores(labels, np.clip(probabilities, 0, 1))["weighted_f1"]


def _scores(labels: np.ndarray, probabilities: Sequence[float] | np.ndarray) -> Figures:
    """Score probabilities of the second of two classes."""
    of_second = np.asarray(probabilities, np.float64)
    return classification_scores(labels.astype(int), np.column_stack([1 - of_second, of_second]))


MEDIANS = (
    "images_per_second",
    "seconds_per_epoch",
    "seconds_to_start",
    "seconds",
    "seconds_to_f1",
    "weighted_f1",
    "auroc",
    "peak_memory_bytes",
    "epochs",
    "images_per_epoch",
)


def row_of(method: Method, runs: Sequence[Figures], at_wall: Sequence[Figures] = ()) -> dict[str, Any]:
    """Return the row of a method: medians over its runs, each with its values; failed if any run failed.

    Args:
        method: which.
        runs: figures of the runs at equal epochs.
        at_wall: figures of the runs that were cut at the same wall time.
    """
    reasons = [figures["reason"] for figures in (*runs, *at_wall) if figures["reason"]]
    row: dict[str, Any] = {
        "name": method.name,
        "title": method.title,
        "exchanged": method.exchanged,
        "status": "failed" if reasons else "ran",
        "reason": reasons[0] if reasons else None,
        "runs": len(runs),
        "environment": dict(describe_versions(method)),
    }
    for name in MEDIANS:
        values = [figures.get(name) for figures in runs]
        # A run that never reached the aim makes the median meaningless: it is only given if all did.
        known = [value for value in values if value is not None]
        row[name] = median(known) if known and len(known) == len(values) else None
        row[f"{name}_values"] = values
    row["validation_f1"] = [figures["validation_f1"] for figures in runs]
    if at_wall:
        last = [figures["validation_f1"][-1] if figures["validation_f1"] else None for figures in at_wall]
        known = [value for value in last if value is not None]
        row["at_wall"] = {
            "epochs": median(figures["epochs"] for figures in at_wall),
            "validation_f1": median(known) if len(known) == len(last) else None,
            "validation_f1_values": last,
        }
    return row


def merged(rows: Sequence[dict[str, Any]], earlier: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows in the table's order, new ones in the place of earlier ones of the same method."""
    by_name = {row["name"]: row for row in (*earlier, *rows)}
    return [by_name[method.name] for method in METHODS if method.name in by_name]


def replace_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result so that whoever interrupts it finds the earlier one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".aside")
    aside.write_text(json.dumps(result, indent=1) + "\n")
    aside.replace(path)
