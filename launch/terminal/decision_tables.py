"""A run's decision, and what it comes to, as tables on the screen."""

from typing import Any

from rich import box
from rich.table import Table

from hvdcells.scores.decision import Decision
from hvdcells.scores.intervals import Interval
from launch.terminal.console import Console

_COLUMNS = ("weighted_f1", "sensitivity", "specificity", "referred", "errors_left")


def print_decision(decision: Decision, console: Console) -> None:
    """Print what was chosen on validation images."""
    console.print(f"Temperature {decision.temperature:.3f}, chosen on validation images")
    for note in decision.notes:
        console.print(note, style="yellow")
    if decision.positive_classes:
        low, high = decision.refer
        console.print(
            f"From a calibrated probability of {' or '.join(decision.positive_classes)} of {decision.threshold:.4f} on "
            f"({decision.chosen}) an image is called so; a person should look from {low:.4f} to {high:.4f}. Subjects: "
            f"{decision.subject_rule} of their images.",
        )
    else:
        console.print("No class counts as ill: the likeliest class is called.")


def print_judgement(name: str, judged: dict[str, Any], chosen: str, console: Console) -> None:
    """Print what a decision comes to on one split: calibration, and scores at each threshold."""
    before, after = judged["calibration"]["before"], judged["calibration"]["after"]
    console.print(
        f"{name}, calibration before → after: log loss {before['log_loss']:.4f} → {after['log_loss']:.4f}, expected "
        f"calibration error {before['expected_calibration_error']:.4f} → {after['expected_calibration_error']:.4f}"
    )
    if "thresholds" not in judged:
        return
    # As narrow as it can be: within 80 columns.
    title = f"{name}: {judged['images']} images, 95 % intervals over {judged['intervals_over']}"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, show_edge=False, title=title)
    table.add_column("threshold", no_wrap=True)
    for column in ("at", "weighted\nF1", "sensi-\ntivity", "speci-\nficity", "referred", "errors\nleft"):
        table.add_column(column, justify="right", no_wrap=True, min_width=5 if column == "at" else 9)
    for threshold, scores in judged["thresholds"].items():
        mark = " *" if threshold == chosen else ""
        cells = [_score(scores[column], scores["intervals"][column]) for column in _COLUMNS]
        table.add_row(threshold + mark, f"{scores['threshold']:.3f}", *cells)
    console.print(table)
    console.print("* in use. Referred: for a person to look at; errors left: among the others.")
    if "by_subject" in judged:
        by_subject = judged["by_subject"]
        console.print(
            f"{by_subject['right']} of {by_subject['subjects']} subjects are called right ({by_subject['rule']})."
        )


def _score(value: float | None, interval: Interval | None) -> str:
    bounds = "" if interval is None else f"\n{interval[0]:.2f}–{interval[1]:.2f}"
    return "–" if value is None else f"{value:.3f}{bounds}"
