"""A folder of runs that belong together, trained one after another: those of a cross-validation or of a sweep.

What is planned is written first. A run that is finished is kept, whatever is missing is trained; so the same command
goes on where it was interrupted.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.driver.tracking import check_track, tracked_parent
from hvdcells.driver.train import train
from hvdcells.errors import UserError
from hvdcells.experiment import Experiment
from hvdcells.runs.directory import RunDirectory, write_json
from hvdcells.runs.earlier_run import dataset_digest
from hvdcells.runs.lock import is_unused
from hvdcells.spark.backends import Backend, HorovodOnSpark
from hvdcells.spark.session import spark_session

DATASET_DIGEST = "dataset_digest"
"""Key of a plan: the digest of the whole dataset, wherever it lies, by `dataset_digest`."""


@dataclass(frozen=True)
class Ranks:
    """How the ranks of each run are started; fields as the arguments of `hvdcells.train`."""

    workers: int = 2
    master: str | None = None
    backend: Backend | None = None
    conf: Mapping[str, str] | None = None
    track: str | None = None
    track_parent: str | None = None

    @property
    def num_workers(self) -> int:
        """The world size of each run."""
        return self.workers if self.backend is None else self.backend.num_workers

    def check(self) -> None:
        """Refuse, before anything is written, what cannot run.

        Raises:
            UserError: the back end cannot run so many workers.
        """
        check_track(self.track)
        (self.backend or HorovodOnSpark(self.workers, self.master, conf=self.conf)).check()

    @contextmanager
    def one_session(self, folder: str) -> Iterator["Ranks"]:
        """Hold one Spark session open, which all runs inside borrow; with a back end of its own, none is needed.

        Yields the ranks with what they are tracked below, the run of the folder.
        """
        session = nullcontext() if self.backend else spark_session(self.master, self.workers, self.conf)
        with session, tracked_parent(self.track, folder) as parent:
            yield replace(self, track_parent=parent)


@dataclass(frozen=True)
class RunsFolder:
    """Where the runs and their summary are."""

    location: str
    summary: str
    """Location of the JSON file that says what is planned and what came out."""

    @classmethod
    def at(cls, location: str | os.PathLike[str], summary_name: str) -> "RunsFolder":
        """Name a folder of runs; nothing is read or written."""
        location = storage.absolute(location)
        return cls(location, storage.join(location, summary_name))

    def run(self, name: str) -> RunDirectory:
        """Return the run directory of that name."""
        return RunDirectory.at(storage.join(self.location, name))

    def read(self) -> dict[str, Any] | None:
        """Return the summary; None where there is none."""
        return json.loads(storage.read_text(self.summary)) if storage.exists(self.summary) else None

    def write(self, summary: dict[str, Any]) -> None:
        """Write the summary, whole or not at all."""
        write_json(self.summary, summary)

    def check(self, plan: dict[str, Any]) -> None:
        """Refuse a folder that holds anything but this plan, begun or done.

        Raises:
            UserError: other files, or runs that were planned otherwise.
        """
        kept = self.read()
        if kept is None:
            if is_unused(self.location):
                return
            raise UserError(
                f"{self.location} already holds other files",
                "a new or empty folder for the runs, or one where the same command was interrupted",
                "name another folder",
            )
        if DATASET_DIGEST not in kept["plan"]:
            raise UserError(
                f"{self.location} holds runs of an earlier version, which did not note what their dataset holds",
                "runs that are known to be of the same dataset as those that are still to be trained",
                "name another folder for the new runs; what is finished in this one stays as it is",
            )
        # As JSON has it: tuples are lists there.
        asked = json.loads(json.dumps(plan))
        other = sorted(name for name in asked.keys() | kept["plan"].keys() if asked.get(name) != kept["plan"].get(name))
        if other:
            raise UserError(
                f"{self.location} holds runs that were planned otherwise ({', '.join(other)} differ)",
                "the same dataset, recipe and fields, to go on with them",
                "name another folder for the new runs, or give the same options again",
            )


def train_unless_finished(
    run: RunDirectory,
    dataset: Dataset,
    experiment: Experiment,
    ranks: Ranks,
    least_scores: Mapping[int, float] | None = None,
) -> RunDirectory:
    """Train one run of several, unless that is done; what was interrupted goes on from its checkpoint."""
    if storage.exists(run.finished):
        return run
    return train(
        dataset.location,
        run.location,
        experiment,
        workers=ranks.workers,
        master=ranks.master,
        backend=ranks.backend,
        conf=ranks.conf,
        resume=True,
        least_scores=least_scores,
        track=ranks.track,
        track_parent=ranks.track_parent,
    )


def plan_of(dataset: Dataset, experiment: Experiment, **more: Any) -> dict[str, Any]:
    """Return what a folder of runs was planned with, to compare when it is gone on with."""
    return {
        "dataset": dataset.location,
        DATASET_DIGEST: dataset_digest(dataset),
        "experiment": experiment.model_dump(mode="json"),
        **more,
    }


def scores_of(run: RunDirectory) -> dict[str, Any]:
    """Return the validation scores of a finished run's best epoch, with its `loss`, and the epoch."""
    epoch = run.read_json(run.finished)["best_epoch"]
    line = next(line for line in run.read_metrics() if line["epoch"] == epoch)
    return {**line["validation"], "best_epoch": epoch}
