"""The run directory: all of its paths in one class. Local or at an fsspec address such as `s3://…`."""

import json
import os
import shlex
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.experiment import Experiment
from hvdcells.experiment.trust import check_trusted
from hvdcells.runs.lock import OWNER_NAME, is_unused
from hvdcells.secrets import without_secrets

MOST_TOLD_CHARACTERS = 200


@dataclass(frozen=True)
class RunDirectory:
    """Where one training run keeps what it was made with and what it made.

    `run.json` is written first and marks the folder as a run; `finished.json` is written last, and a run
    without it is not taken for whole.
    """

    location: str
    trusted_code: tuple[str, ...] = field(default=(), compare=False, repr=False)
    """Modules that this process was told to build the run's model with, by who passed its experiment."""
    typed_places: tuple[str, ...] = field(default=(), compare=False, repr=False)
    """Locations beside this one that the user of this process has named himself."""

    @classmethod
    def at(cls, location: str | os.PathLike[str]) -> "RunDirectory":
        """Name a run directory; nothing is read or written."""
        return cls(storage.absolute(location))

    def path(self, *parts: str) -> str:
        """Return the location of something in the run."""
        return storage.join(self.location, *parts)

    @property
    def experiment(self) -> str:
        """The experiment (JSON)."""
        return self.path("experiment.json")

    @property
    def run(self) -> str:
        """The dataset, world size, environment and commit (JSON)."""
        return self.path("run.json")

    @property
    def training_images(self) -> str:
        """Subject, content hash and split of each image trained and validated on (Parquet)."""
        return self.path("training-images.parquet")

    @property
    def preparation(self) -> str:
        """What was done to each image before training (JSON)."""
        return self.path("preparation.json")

    @property
    def decision(self) -> str:
        """Temperature, thresholds, refer band and subject rule, chosen on validation images (JSON)."""
        return self.path("decision.json")

    @property
    def range(self) -> str:
        """Colours and features of validation images, which tell images unlike them (JSON)."""
        return self.path("range.json")

    @property
    def metrics(self) -> str:
        """One JSON line per epoch."""
        return self.path("metrics.jsonl")

    @property
    def tensorboard(self) -> str:
        """TensorBoard events."""
        return self.path("tensorboard")

    @property
    def checkpoints(self) -> str:
        """Folder of the checkpoints: those of the last and of the best epoch."""
        return self.path("checkpoints")

    def checkpoint(self, epoch: int, steps: int = 0) -> str:
        """How far the run had come after an epoch, counted from 1, and steps of the next (JSON); written last."""
        return self._checkpoint(epoch, steps) + ".json"

    def checkpoint_variables(self, epoch: int, steps: int = 0) -> str:
        """Weights and optimizer variables after an epoch, counted from 1, and steps of the next (npz)."""
        return self._checkpoint(epoch, steps) + ".npz"

    def _checkpoint(self, epoch: int, steps: int) -> str:
        # In order of names, one within an epoch comes after that of the epoch before.
        return self.path("checkpoints", f"epoch-{epoch:04d}" + (f".step-{steps:06d}" if steps else ""))

    @property
    def model(self) -> str:
        """The best model as a Keras file; an ensemble has several, see `models`."""
        return self.path("model.keras")

    def models(self) -> list[str]:
        """Return the locations of the models whose probabilities are averaged: of all runs but ensembles, one."""
        names = [name for name in storage.names_in(self.path("models")) if name.endswith(".keras")]
        return [self.path("models", name) for name in names] or [self.model]

    @property
    def report(self) -> str:
        """The report (HTML)."""
        return self.path("report.html")

    @property
    def cost(self) -> str:
        """What the machines have cost (JSON), written by who rented them."""
        return self.path("cost.json")

    @property
    def finished(self) -> str:
        """Summary written last (JSON)."""
        return self.path("finished.json")

    @property
    def more_workers(self) -> str:
        """The driver's word that ranks may end at the epoch's border: there are slots for more of them (JSON)."""
        return self.path("logs", "more-workers.json")

    def predictions(self, name: str) -> str:
        """Predictions per image of a split (Parquet); of another dataset, under its `Evaluation.name`."""
        return self.path("predictions", f"{name}.parquet")

    def evaluation(self, name: str) -> str:
        """Evaluation of a split (JSON); of another dataset, under its `Evaluation.name`."""
        return self.path("evaluation", f"{name}.json")

    def evaluations(self) -> list[str]:
        """Return the names of all evaluations that are there, in order."""
        names = storage.names_in(self.path("evaluation"))
        return [name.removesuffix(".json") for name in names if name.endswith(".json") and not name.startswith(".")]

    def check_free(self) -> None:
        """Refuse a location where something is already.

        Raises:
            UserError: a run, whole or broken off, or other files are there.
        """
        others = ""
        if storage.exists(self.finished):
            found = "already holds a finished run"
        elif storage.exists(self.run):
            found, others = "holds a run that did not finish", "give --resume to go on with it, "
        elif not is_unused(self.location):
            found = "already holds other files"
        else:
            return
        raise UserError(
            f"{self.location} {found}",
            "a new or empty folder for the run",
            f"{others}name another run directory, or give --overwrite to delete what a run left there",
        )

    def is_begun(self) -> bool:
        """Whether a run is there, whole or not."""
        return storage.exists(self.run) or storage.exists(self.finished)

    def clear(self) -> None:
        """Delete an earlier run, whole or not; who owns the directory goes on to own it.

        Raises:
            UserError: what is there is no run; it is left alone.
        """
        if self.is_begun():
            for name in storage.names_in(self.location):
                if name != OWNER_NAME:
                    storage.remove(self.path(name))
        self.check_free()

    def read_experiment(self) -> Experiment:
        """Return the experiment of a finished run.

        Raises:
            UserError: no run is there, or one that did not finish.
        """
        self.check_finished()
        with damage_told(self.location):
            return Experiment.from_json(storage.read_text(self.experiment))

    def trusting(self, modules: Collection[str] = ()) -> "RunDirectory":
        """Return a finished run whose model may be built: its own description names no code but of trusted modules.

        Raises:
            UserError: no finished run is there, or it names a function of another module.
        """
        trusting = replace(self, trusted_code=(*self.trusted_code, *modules))
        check_trusted(trusting.read_experiment(), self.experiment, trusting.trusted_code)
        return trusting

    def following(self, *places: str) -> "RunDirectory":
        """Return the run with more locations that the user has named himself."""
        return replace(self, typed_places=(*self.typed_places, *places))

    def check_followed(self, address: str) -> None:
        """Refuse an address that stands in the run's files and leads away from all that the user has named.

        Raises:
            UserError: it is neither on this disk, as the run is, nor in the same bucket or on the same host.
        """
        if not any(storage.is_near(address, place) for place in (self.location, *self.typed_places)):
            raise UserError(
                f"{self.run} says that its dataset is at {without_secrets(address)}",
                "a place beside the run: a run of somebody else may name any address",
                f"if you know that place, name it: --dataset {shlex.quote(without_secrets(address))}",
            )

    def check_finished(self) -> None:
        """Refuse what is no whole run.

        Raises:
            UserError: no run is there, or one that did not finish.
        """
        if storage.exists(self.finished):
            return
        state = "a run that did not finish" if storage.exists(self.run) else "no run"
        raise UserError(
            f"{self.location} holds {state}",
            "a run directory that `hvdcells train` has finished",
            "name a finished run, or train one with `hvdcells train DATASET RUN`, with --resume if it stopped",
        )

    def read_json(self, location: str) -> dict[str, Any]:
        """Read one of the run's JSON files."""
        content: dict[str, Any] = json.loads(storage.read_text(location))
        return content

    def read_metrics(self) -> list[dict[str, Any]]:
        """Return the records of all epochs, in order."""
        return [json.loads(line) for line in storage.read_text(self.metrics).splitlines()]


_OF_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


def _is_of_damage(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno is None  # pyarrow's; those of a disk or a store have a number
    return isinstance(error, _OF_DAMAGE) or type(error).__module__.startswith("pyarrow.")


@contextmanager
def damage_told(location: str) -> Iterator[None]:
    """Tell what reading a run raises that is not what `hvdcells train` has written, as the user's to mend."""
    try:
        yield
    except Exception as error:
        if not _is_of_damage(error):
            raise
        why = (str(error).splitlines() or [""])[0][:MOST_TOLD_CHARACTERS]
        raise UserError(
            f"the run {location} is damaged, or of another version: {why} ({type(error).__name__})",
            "a run directory as `hvdcells train` leaves it",
            "use a whole copy of it, or train it again",
        ) from error


def checked_views(tta: int) -> int:
    """Return how many views of each image are averaged.

    Raises:
        UserError: it is neither 1 nor the 8 symmetries of the square.
    """
    if tta not in (1, 8):
        raise UserError(f"tta={tta}", "8, the flips and turns of the square, or 1 for the image alone", "give 8 or 1")
    return tta


def write_json(location: str, value: dict[str, Any]) -> None:
    """Write a value as indented JSON, whole or not at all."""
    storage.write_text(location, json.dumps(value, indent=1) + "\n")
