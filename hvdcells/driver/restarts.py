"""Ranks that are lost while a run goes on: the same command goes on from the last checkpoint with those there are."""

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.runs.directory import RunDirectory, write_json
from hvdcells.runs.jobs import TrainingJob
from hvdcells.runs.progress import last_progress
from hvdcells.spark.backends import Backend, HorovodOnSpark, RankLostError

SETTLING_SECONDS = 10.0
"""How long a run that grows waits for all the slots that it was started with, before it takes those that there are."""
ENTRY = "hvdcells.rank.train:train_on_rank"


def run_with_restarts(
    backend: Backend, directory: RunDirectory, job: TrainingJob, most_restarts: int = 0, fewest: int | None = None
) -> list[dict[str, Any]]:
    """Train, and where ranks are lost go on from the last checkpoint, in the same Spark application.

    Args:
        backend: held ready; its number of workers is the one that is wanted.
        directory: of the run.
        job: what the ranks get.
        most_restarts: so often.
        fewest: workers with which to go on where no more are to be had; None for all.

    Returns:
        What the ranks returned that ended the run.

    Raises:
        UserError: a rank raised one.
        RankLostError: ranks were lost once more, or there are no workers to go on with.
        RankFailedError: a rank failed by itself, as it would again.
    """
    wanted, restarts = backend.num_workers, 0
    while True:
        why, began = f"there are slots for more than {backend.num_workers} workers", time.time()
        try:
            with _growing(backend, wanted, directory):
                results = backend.run(ENTRY, job, directory.path("logs"))
            if results[0].pop("is_over"):
                return results
            lost, done_again = time.time(), 0.0
        except RankLostError as loss:
            if restarts >= most_restarts:
                raise
            restarts, lost, why = restarts + 1, time.time(), str(loss)
            progress = last_progress(directory)
            done_again = lost - (progress.written if progress.written > began else began)
            _say(
                f"{why}\nRestart {restarts} of {most_restarts}: {done_again:.1f} s since the last checkpoint are lost."
            )
            try:
                backend.wait_again(wanted, fewest or wanted)
            except UserError as missing:
                raise RankLostError(f"{loss}\nNot gone on with: {missing}") from loss
        else:
            backend.wait_again(wanted, fewest or wanted, SETTLING_SECONDS)
        progress = last_progress(directory)
        storage.remove_left_aside(directory.location)
        place = f"step {progress.steps_done + 1} of " * bool(progress.parts) + f"epoch {progress.epochs_done + 1}"
        _say(f"Going on with {place}, {backend.num_workers} of {wanted} workers, after {time.time() - lost:.1f} s.")
        note = {
            "after_epoch": progress.epochs_done,
            "after_steps": progress.steps_done,
            "workers": backend.num_workers,
            "why": why.splitlines()[0],
            "lost_seconds": round(done_again, 3),
            "at": round(lost, 3),
        }
        described = directory.read_json(directory.run)
        write_json(directory.run, {**described, "restarts": [*described.get("restarts", []), note]})
        job = replace(job, progress=progress, may_grow=backend.num_workers < wanted, lost_at=lost)


def _growing(backend: Backend, wanted: int, directory: RunDirectory) -> AbstractContextManager[None]:
    if isinstance(backend, HorovodOnSpark) and backend.num_workers < wanted:
        return backend.growing(wanted, directory.more_workers)
    return nullcontext()


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - as the ranks tell the rest
