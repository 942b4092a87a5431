"""What runs came to: a training in two lines, a cross-validation or a sweep as one table."""

from rich.table import Table
from rich.text import Text

from hvdcells.data.manifest import SYNTHETIC_NOTICE, Manifest
from hvdcells.driver.cross_validation import CrossValidation
from hvdcells.driver.sweep import CAVEAT as SWEEP_CAVEAT
from hvdcells.driver.sweep import Sweep, value_in_words
from hvdcells.runs.directory import RunDirectory
from hvdcells.runs.divergence import divergence_told
from launch.terminal.console import Console

_FOLD_SCORES = ("weighted_f1", "macro_f1", "sensitivity", "specificity", "auroc")
"""Of each fold; those that are not of its classes are left out."""
_SWEEP_SCORES = ("weighted_f1", "macro_f1", "auroc", "loss")


def print_training(run: RunDirectory, console: Console) -> None:
    """Print which epoch a finished run has kept, and where it is."""
    finished = run.read_json(run.finished)
    kept = "Best" if run.read_experiment().training.select == "best" else "Kept"
    diverged = divergence_told(run.read_metrics(), len(run.read_json(run.run)["dataset"]["class_names"]))
    if diverged is not None:
        console.print(diverged, style="bold red")
    console.print(f"{kept} epoch: {finished['best_epoch']} of {finished['epochs']}. The run is in {run.location}")
    console.print(f"Report: {run.report}")


def print_cross_validation(result: CrossValidation, manifest: Manifest, console: Console) -> None:
    """Print each fold, the spread over them, and the pooled scores."""
    # Two tables, each within 80 columns however many folds there are.
    shown = result.pooled.score_names
    of_fold = [name for name in _FOLD_SCORES if name in shown]
    folds = Table(title=f"{len(result.per_fold)} folds, {result.pooled.by_image['images']} images")
    folds.add_column("fold")
    for name in of_fold:
        folds.add_column(result.pooled.label(name), justify="right")
    for scores in result.per_fold:
        folds.add_row(str(scores["fold"]), *(_number(scores[name]) for name in of_fold))
    console.print(folds)
    table = Table("score", title="Over the folds")
    for name in ("mean", "deviation", "95 % interval", "pooled"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in shown:
        spread = result.spread[name]
        table.add_row(
            result.pooled.label(name),
            _number(spread.mean),
            _number(spread.std),
            f"{spread.low:.3f}–{spread.high:.3f}" if spread.low is not None else "–",
            _number(result.pooled.by_image[name]),
        )
    console.print(table)
    pooled, interval = result.pooled, result.pooled.intervals["weighted_f1"]
    bounds = f" ({interval[0]:.3f}–{interval[1]:.3f}, {pooled.interval_methods['by_image']})" if interval else ""
    by_subject = (
        f", {_number(pooled.by_subject['weighted_f1'])} by subject, {pooled.num_subjects} subjects"
        if pooled.by_subject
        else ""
    )
    console.print(
        f"Pooled out-of-fold predictions: weighted F1 {_number(pooled.by_image['weighted_f1'])} by image{bounds}"
        f"{by_subject}."
    )
    console.print(result.caveat)
    _print_end(manifest, result.summary, console)
    console.print(f"Predictions: {result.predictions}", markup=False)


def print_sweep(result: Sweep, manifest: Manifest, console: Console) -> None:
    """Print the trials, best first."""
    from hvdcells.scores.classification import score_label

    fields = list(result.trials[0].values)
    scores = [result.monitor, *(name for name in _SWEEP_SCORES if name != result.monitor)]
    num_classes = len(manifest.class_names)
    table = Table(title=f"{len(result.trials)} trials by validation {score_label(result.monitor, num_classes)}")
    table.add_column("trial")
    for name in (*fields, *(score_label(name, num_classes) for name in scores), "best epoch"):
        table.add_column(name, justify="right")
    for trial in result.trials:
        cells: list[str | Text] = [Text(trial.state, "red"), *[""] * len(scores)]
        if trial.scores is not None:
            epoch = f"{trial.scores['best_epoch']}" + (f", pruned at {trial.epochs}" if trial.state == "pruned" else "")
            cells = [*(_number(trial.scores[name]) for name in scores), epoch]
        table.add_row(trial.name, *(value_in_words(trial.values[field]) for field in fields), *cells)
    console.print(table)
    for trial in result.trials:
        if trial.error:
            console.print(f"{trial.name} failed: {trial.reason}", style="red", markup=False)
    console.print(SWEEP_CAVEAT)
    _print_end(manifest, result.summary, console)
    best = result.trials[0]
    if best.scores is not None:
        console.print(f"Next: hvdcells evaluate {result.location}/{best.name}", markup=False)


def _print_end(manifest: Manifest, summary: str, console: Console) -> None:
    if manifest.synthetic:
        console.print(SYNTHETIC_NOTICE, style="bold yellow")
    console.print(f"As JSON: {summary}", markup=False)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
