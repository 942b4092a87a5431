"""The stages that faults are struck at: their commands, and what an undisturbed one comes to."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.processes import command

TRAIN = (
    *("--workers", 2, "--epochs", 12, "--set", "data.batch_size=4", "--set", "model.width=0.25"),
    *("--set", "training.early_stopping_patience=null", "--checkpoint-steps", 5, "--stall-seconds", 8),
)
"""Short epochs of a small network; what a run is stopped at must be able to go on."""


@dataclass(frozen=True)
class Bench:
    """Where the undisturbed stages have left their results, from which every fault begins."""

    folder: Path

    @property
    def source(self) -> Path:
        """Images, as C-NMC lays them out."""
        return self.folder / "cells"

    @property
    def dataset(self) -> Path:
        """Of these images."""
        return self.folder / "dataset"

    @property
    def run(self) -> Path:
        """Trained on that dataset."""
        return self.folder / "run"

    def result_of(self, stage: str) -> Path:
        """Return what an undisturbed stage has written."""
        return {"etl": self.dataset, "train": self.run, "evaluate": self.run}.get(stage, self.folder / stage)


@dataclass(frozen=True)
class Stage:
    """One command of a user."""

    arguments: Callable[[Bench, Path], list[Any]]
    """Of the command that writes to a place."""
    again: Callable[[Bench, Path], list[Any]]
    """The command that is given after a fault."""
    digest: Callable[[Path], str]
    """Of all that its result says, but times."""
    in_place: bool = False
    """Whether it writes into its input, which is copied first."""


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def digest_of_dataset(place: Path) -> str:
    """Return a digest of the images, labels and splits of a dataset, by the checksums in its manifest."""
    manifest = json.loads((place / "manifest.json").read_text())
    return _digest({name: manifest[name] for name in ("splits", "channel_mean", "channel_std", "rejected", "written")})


def digest_of_run(place: Path) -> str:
    """Return a digest of a run's last weights, its best epoch and its evaluation."""
    finished = json.loads((place / "finished.json").read_text())
    return _digest([finished[name] for name in ("weights_digest", "best_epoch", "epochs")])


def digest_of_evaluation(place: Path) -> str:
    """Return a digest of the scores of a run on its test split."""
    return _digest(json.loads((place / "evaluation" / "test.json").read_text()))


def digest_of_predictions(place: Path) -> str:
    """Return a digest of the predictions of all images."""
    return _digest((place / "predictions.csv").read_text())


STAGES = {
    "etl": Stage(
        lambda bench, out: ["etl", bench.source, out, "--image-size", 48],
        lambda bench, out: ["etl", bench.source, out, "--image-size", 48],
        digest_of_dataset,
    ),
    "train": Stage(
        lambda bench, out: ["train", bench.dataset, out, *TRAIN],
        lambda bench, out: ["train", bench.dataset, out, *TRAIN, "--resume"],
        digest_of_run,
    ),
    "evaluate": Stage(
        lambda bench, out: ["evaluate", out],
        lambda bench, out: ["evaluate", out],
        digest_of_evaluation,
        in_place=True,
    ),
    "predict": Stage(
        lambda bench, out: ["predict", bench.run, bench.source, out, "--csv", "--no-spark"],
        lambda bench, out: ["predict", bench.run, bench.source, out, "--csv", "--no-spark", "--overwrite"],
        digest_of_predictions,
    ),
}


def prepare(folder: Path, said: Callable[[str], None]) -> tuple[Bench, dict[str, str], dict[str, float]]:
    """Carry out all stages undisturbed, or take what an earlier campaign has left of them.

    Returns:
        The bench, the digest of each stage's result and the seconds that it took.

    Raises:
        RuntimeError: a stage failed by itself.
    """
    bench, known = Bench(folder), folder / "undisturbed.json"
    if known.exists():
        content = json.loads(known.read_text())
        return bench, content["digests"], content["seconds"]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _run(["synthesize", bench.source, "--subjects", 12, "--images-per-subject", 10])
    digests, seconds = {}, {}
    for name, stage in STAGES.items():
        began = time.monotonic()
        _run(stage.arguments(bench, bench.result_of(name)))
        seconds[name] = time.monotonic() - began
        digests[name] = stage.digest(bench.result_of(name))
        said(f"undisturbed {name}: {seconds[name]:.1f} s, {digests[name]}")
    known.write_text(json.dumps({"digests": digests, "seconds": seconds}))
    return bench, digests, seconds


def _run(arguments: list[Any]) -> None:
    with command(*arguments) as running:
        if running.read_to_the_end() != 0:
            raise RuntimeError(f"{arguments[0]} failed undisturbed:\n{running.output}")
