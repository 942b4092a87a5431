"""What every adapter is given, a folder with images, network and settings, and what it leaves, epoch by epoch."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Union

import numpy as np

Numbers = Union[Sequence[float], np.ndarray]  # noqa: UP007 - Python 3.8 reads this file too
RUN = "run"
"""A run directory of this project in the outcome's folder: its metrics are the epochs."""


class Task:
    """The folder `benchmarks.methods.preparing` wrote, with its settings."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        settings = json.loads((self.folder / "settings.json").read_text())
        self.dataset: str = settings["dataset"]
        self.batch_per_worker: int = settings["batch_per_worker"]
        self.workers: int = settings["workers"]
        self.epochs: int = settings["epochs"]
        self.learning_rate: float = settings["learning_rate"]
        self.seed: int = settings["seed"]

    @property
    def global_batch(self) -> int:
        """Images of one update."""
        return self.batch_per_worker * self.workers

    def images(self, split: str) -> np.ndarray:
        """Images of a split: uint8 (n, size, size, 3)."""
        return np.load(self.folder / f"{split}-images.npy")

    def labels(self, split: str) -> np.ndarray:
        """Labels of a split: float32 (n,), cancer = 1."""
        return np.load(self.folder / f"{split}-labels.npy").astype(np.float32)

    def sources(self, split: str) -> list[str]:
        """Where each image came from, in the same order: the name by which predictions are put in it."""
        return json.loads((self.folder / f"{split}-sources.json").read_text())

    def network(self) -> list[dict[str, Any]]:
        """The layers in order, as `benchmarks.methods.preparing.describe` tells them."""
        return json.loads((self.folder / "network.json").read_text())

    def weights(self) -> list[np.ndarray]:
        """The first weights, in the order of the Keras model's."""
        with np.load(self.folder / "weights.npz") as file:
            return [file[str(number)] for number in range(len(file.files))]


class Outcome:
    """The folder an adapter writes to; a run that is cut off keeps the epochs it has done."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def epoch(self, train_seconds: float, num_images: int, probabilities: Numbers, ended: float = 0) -> None:
        """Note an epoch.

        Args:
            train_seconds: what its training took, without validation.
            num_images: images it trained on, over all workers.
            probabilities: of cancer, one for each image of the validation split, in order.
            ended: `time.time()` when the probabilities were there; 0 for now.
        """
        line = {
            "ended": ended or time.time(),
            "train_seconds": train_seconds,
            "images": num_images,
            "validation": _plain(probabilities),
        }
        with (self.folder / "epochs.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def finish(self, probabilities: Numbers) -> None:
        """Note the probabilities of cancer of the test split's images; the last thing an adapter does."""
        (self.folder / "test.json").write_text(json.dumps(_plain(probabilities)))


def logistic(logits: Any) -> np.ndarray:
    """Return probabilities of logits, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(logits, np.float64).reshape(-1)))


def _plain(values: Numbers) -> list[float]:
    return [float(value) for value in np.asarray(values).reshape(-1)]
