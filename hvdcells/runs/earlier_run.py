"""Going on with a run that was stopped: what the driver finds in its directory, and what it refuses."""

import hashlib
import os
from dataclasses import dataclass
from typing import Any

from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.data.subset import with_training_share
from hvdcells.errors import UserError, raise_together
from hvdcells.experiment import Experiment, flattened
from hvdcells.runs.directory import RunDirectory, damage_told
from hvdcells.runs.progress import Progress, last_progress
from hvdcells.scores.classification import score_label

DIGESTED = {"listing_digest", "options", "image_size", "class_names", "channel_mean", "channel_std", "splits"}
"""What of a manifest decides which images a run sees, and in which order."""


@dataclass(frozen=True)
class EarlierRun:
    """A run that was begun, and how far it has come."""

    experiment: Experiment
    workers: int
    progress: Progress
    is_finished: bool
    description: dict[str, Any]
    """What `run.json` holds."""

    @property
    def message(self) -> str:
        """What was found, in one line for the user."""
        done, best, planned = self.progress.epochs_done, self.progress.best_epoch, self.experiment.training.epochs
        if self.is_finished:
            return f"The run is finished, after {done} of {planned} epochs: there is nothing to do."
        within = self.progress.steps_done
        if not self.progress.is_begun:
            return "The run was stopped before its first checkpoint: it starts anew."
        if not done:
            return f"Found the checkpoint of step {within} of epoch 1 of {planned}: going on there."
        score = self.progress.records[best - 1]["validation"][self.experiment.training.monitor]
        monitor = score_label(self.experiment.training.monitor, 2)
        kept = f"best: epoch {best}, " if self.experiment.training.select == "best" else ""
        found = f"Found the checkpoint of epoch {done} of {planned} ({kept}{monitor} {score:.4f})"
        if self.progress.is_over(self.experiment):
            return f"{found}: no epoch is left, the run is brought to its end."
        return f"{found}: going on with {f'step {within + 1} of ' * bool(within)}epoch {done + 1}."


def dataset_digest(dataset: Dataset) -> str:
    """Return a SHA-256 of what a dataset holds, wherever it lies."""
    return hashlib.sha256(dataset.manifest.model_dump_json(include=DIGESTED).encode()).hexdigest()


def digest_as_trained(dataset: Dataset, experiment: Experiment) -> str:
    """Return the digest of a dataset with the experiment's share of its training images, as `run.json` notes it.

    Args:
        dataset: whole, seen by the experiment's fold; one without training images is taken as it is.
        experiment: of the run.
    """
    train = dataset.manifest.splits.get("train")
    return dataset_digest(with_training_share(dataset, experiment) if train and train.images else dataset)


def own_experiment(run: str | os.PathLike[str]) -> Experiment | None:
    """Return the experiment of the run at a place, whether finished or not; None where none was begun."""
    directory = RunDirectory.at(run)
    if not storage.exists(directory.experiment):
        return None
    with damage_told(directory.location):
        return Experiment.from_json(storage.read_text(directory.experiment))


def find_earlier_run(
    directory: RunDirectory, dataset: Dataset, experiment: Experiment | None, workers: int | None
) -> EarlierRun | None:
    """Find out whether a run was begun at a place, and how far it has come.

    Args:
        directory: where the run was begun.
        dataset: what it is to go on with.
        experiment: what it is to go on with; None for the run's own.
        workers: how many ranks; None for the run's own number.

    Returns:
        The run; None where none was begun.

    Raises:
        UserError: the dataset, the experiment or the number of workers is not the run's: going on would mix two runs.
    """
    own = own_experiment(directory.location)
    if own is None:
        return None  # nothing is there, or the run was killed in the moment in which it began
    description = directory.read_json(directory.run)
    remedy = "leave it as it was, or train a new run in another directory"
    problems = []
    if description["dataset"]["digest"] != dataset_digest(dataset):
        problems.append(
            UserError(
                f"the dataset {dataset.location} is not the one that the run {directory.location} was begun with",
                f"the same images, splits and order as in {description['dataset']['location']} at that time",
                "give the run's own dataset, or train a new run in another directory",
            )
        )
    if experiment is not None and experiment != own:
        changes = ", ".join(f"{name}={value!r} (was {was!r})" for name, was, value in _differences(own, experiment))
        problems.append(
            UserError(
                f"another experiment than the run {directory.location} was begun with: {changes}",
                "the run's own experiment, which is used when no recipe and no field is given. More epochs would "
                "change the learning rate of all epochs, those already done too",
                remedy,
            )
        )
    if workers is not None and workers != description["workers"]:
        problems.append(
            UserError(
                f"{workers} workers to go on with the run {directory.location} of {description['workers']} workers",
                "the same number, since it decides the global batch, the learning rate and who reads what",
                remedy,
            )
        )
    raise_together(problems)
    is_finished = storage.exists(directory.finished)
    return EarlierRun(own, description["workers"], last_progress(directory), is_finished, description)


def _differences(own: Experiment, given: Experiment) -> list[tuple[str, Any, Any]]:
    """Return dotted name, own value and given value of all fields that differ."""
    first, second = flattened(own.model_dump()), flattened(given.model_dump())
    return [
        (name, first.get(name), second.get(name)) for name in {**first, **second} if first.get(name) != second.get(name)
    ]
