"""Four classes on their whole way: synthetic cells → ETL → training on two workers → scores on unseen subjects.

    python -m benchmarks.four_classes --out benchmarks/results/four_classes.json

Runs the commands of a user on this machine: `hvdcells synthesize --classes 4`, `etl`, `train`, `evaluate`. The result
holds the scores of the test split, which is used for no choice, and of the validation split that chose the epoch.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.harness import OutOption, environment, run_command, write_result
from benchmarks.scaling.processes import run_to_its_end
from hvdcells.data.dataset import Dataset
from hvdcells.runs.directory import RunDirectory
from hvdcells.scores.classification import SCORE_NAMES

AIMED_MACRO_F1 = 0.85
"""By image, on unseen subjects."""
POSITIVE = "early,pre,pro"
console = Console(stderr=True, highlight=False, soft_wrap=True)


def run(*arguments: str) -> float:
    """Run `hvdcells`; return the seconds that it took.

    Raises:
        RuntimeError: it failed; the message holds the end of what it said.
    """
    began = time.monotonic()
    run_to_its_end([sys.executable, "-m", "launch.cli", *arguments], os.environ)
    return round(time.monotonic() - began, 1)


def scores_of(directory: RunDirectory, split: str) -> dict[str, Any]:
    """Return what a split's evaluation came to, without each subject and image."""
    kept = directory.read_json(directory.evaluation(split))
    scores, by_subject = kept["by_image"], kept["by_subject"]
    return {
        "images": scores["images"],
        "subjects": kept["num_subjects"],
        "subjects_of_several_classes": kept["num_mixed_subjects"],
        **{name: scores[name] for name in (*SCORE_NAMES, "sensitivity", "specificity")},
        "macro_f1_interval": kept["intervals_95_percent_of_by_image"]["macro_f1"],
        "per_class": dict(zip(kept["class_names"], scores["per_class"], strict=True)),
        "confusion_matrix": scores["confusion_matrix"],
        "macro_f1_by_subject": by_subject["macro_f1"],
    }


def measure(
    folder: Path, subjects: int, images_per_subject: int, epochs: int, workers: int, seed: int
) -> dict[str, Any]:
    """Run everything once in an empty folder; return the result."""
    cells, dataset, place = (str(folder / name) for name in ("cells", "dataset", "run"))
    drawn = ["--subjects", str(subjects), "--images-per-subject", str(images_per_subject), "--seed", str(seed)]
    settings = ["--epochs", str(epochs), "--set", f"seed={seed}"]
    seconds = {
        "synthesize": run("synthesize", cells, "--classes", "4", *drawn),
        "etl": run("etl", cells, dataset, "--image-size", "96", "--positive", POSITIVE, "--seed", str(seed)),
        "train": run("train", dataset, place, "--workers", str(workers), *settings),
        "evaluate": run("evaluate", place, "--split", "test"),
    }
    directory, manifest = RunDirectory.at(place), Dataset.open(dataset).manifest
    return {
        "benchmark": "four_classes",
        "classes": list(manifest.class_names),
        "images": {name: split.images for name, split in manifest.splits.items()},
        "recipe": "small_cnn",
        "epochs": epochs,
        "best_epoch": directory.read_json(directory.finished)["best_epoch"],
        "workers": workers,
        "seed": seed,
        "seconds": seconds,
        "aimed_macro_f1": AIMED_MACRO_F1,
        "test": scores_of(directory, "test"),
        "validation": scores_of(directory, "validation"),
        "environment": environment(("horovod", "tensorflow", "tf-keras", "pyspark")),
    }


def command(
    out: Annotated[Path, OutOption],
    subjects: Annotated[int, typer.Option(min=12)] = 48,
    images_per_subject: Annotated[int, typer.Option(min=4)] = 20,
    epochs: Annotated[int, typer.Option(min=1)] = 24,
    workers: Annotated[int, typer.Option(min=1)] = 2,
    seed: Annotated[int, typer.Option(help="Of the cells, the split and the training.")] = 0,
) -> None:
    """Train on four classes of synthetic cells, and judge on subjects that the model has not seen."""
    with tempfile.TemporaryDirectory(prefix="hvdcells-classes-") as folder:
        result = measure(Path(folder), subjects, images_per_subject, epochs, workers, seed)
    write_result(out, result)
    found = result["test"]["macro_f1"]
    verdict = "reached" if found >= AIMED_MACRO_F1 else "NOT reached"
    console.print(f"Macro F1 {found:.3f} on unseen subjects: {AIMED_MACRO_F1} is {verdict}.")


def main() -> None:
    """Run the command."""
    run_command(command)


if __name__ == "__main__":
    main()
