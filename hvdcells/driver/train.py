"""The driver's side: `train` and `evaluate`, for the command line, launch scripts and notebooks alike."""

import os
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.data.shard_plan import check_enough_row_groups
from hvdcells.data.subset import with_training_share
from hvdcells.driver.model_check import check_model_function
from hvdcells.driver.restarts import run_with_restarts
from hvdcells.driver.tracking import check_track, tracked
from hvdcells.errors import UserError, raise_together
from hvdcells.experiment import Experiment, recipes
from hvdcells.experiment.trust import check_trusted, code_named_by
from hvdcells.report import renew_report
from hvdcells.runs.decision import choose_decision
from hvdcells.runs.directory import RunDirectory, write_json
from hvdcells.runs.earlier_run import EarlierRun, find_earlier_run, own_experiment
from hvdcells.runs.first_weights import settle_model
from hvdcells.runs.image_range import fit_range
from hvdcells.runs.jobs import TrainingJob
from hvdcells.runs.lock import sole_owner
from hvdcells.runs.predictions import evaluate_best_epoch
from hvdcells.runs.preparation import keep_preparation
from hvdcells.runs.progress import Progress
from hvdcells.runs.provenance import describe, environment
from hvdcells.runs.training_images import keep_training_images
from hvdcells.spark.backends import Backend, HorovodOnSpark
from hvdcells.spark.backends.horovod_on_spark import STALL_SECONDS

START_TIMEOUT_SECONDS = 600


@storage.user_errors()
def train(
    dataset: Dataset | str | os.PathLike[str],
    run: str | os.PathLike[str],
    experiment: Experiment | None = None,
    *,
    workers: int | None = None,
    master: str | None = None,
    backend: Backend | None = None,
    conf: Mapping[str, str] | None = None,
    start_timeout_seconds: int = START_TIMEOUT_SECONDS,
    stall_seconds: float = STALL_SECONDS,
    overwrite: bool = False,
    resume: bool = False,
    began: float | None = None,
    trust_code: Collection[str] = (),
    least_scores: Mapping[int, float] | None = None,
    track: str | None = None,
    track_parent: str | None = None,
    max_restarts: int = 0,
    min_workers: int | None = None,
    checkpoint_steps: int = 0,
) -> RunDirectory:
    """Train a classifier and keep everything about it in a run directory; last of all, write its report.

    Args:
        dataset: a finished dataset, or its location.
        run: where the run directory is made; local or an fsspec address.
        experiment: what to train, from a recipe or made by hand; None for the recipe `small_cnn`, or for the run's own
            when it goes on.
        workers: ranks; Spark starts by itself on this machine. None for 2, or for the run's own when it goes on.
        master: Spark master; None for this machine. An active Spark session is used as it is.
        backend: another way to run the ranks; `workers`, `master` and `conf` are then not used.
        conf: Spark settings of a session that is started here.
        start_timeout_seconds: how long to wait for a task slot for each worker, and for the ranks to find each other.
        stall_seconds: ends a run whose ranks stand still, or one of which says nothing, for so long; 0 for never.
        overwrite: delete an earlier run at that place.
        resume: go on from the last whole checkpoint of the run at that place, as if it had never been stopped. A run
            stopped before its first checkpoint, or none at all, begins anew; a finished one is left as it is.
        began: `time.time()` at which the command began, for the start-up figures.
        trust_code: modules of which the run's own description may name a function, when it goes on without an
            experiment that is given.
        least_scores: by epoch, the validation score of `training.monitor` (negative for `loss`) that the run must have
            come to; it ends there if not, as a trial of a sweep that lags behind.
        track: a server that is told how the run goes on, as `mlflow:URI`; None for none. A server that does not answer
            costs the run nothing.
        track_parent: the server's id of the run below which this one is shown.
        max_restarts: so often, where a rank, its Spark task or its executor is lost, go on from the last checkpoint.
        min_workers: with which to go on where Spark gives no more in `start_timeout_seconds`; the run grows again at
            an epoch's end when it does. None for all.
        checkpoint_steps: write a checkpoint after so many steps within an epoch, too; 0 for none.

    Raises:
        UserError: the dataset, the place, the experiment and the workers do not fit, or another process works on
            the run, or its own description names a function of a module that is not trusted; nothing is left behind.
        RankFailedError: a rank failed; `run.json` shows that the run is not whole.
    """
    called = time.time()
    check_track(track)
    began = called if began is None else began
    directory = RunDirectory.at(run)
    if resume and overwrite:
        raise UserError("resume and overwrite at once", "to go on with a run or to delete it", "leave one of them out")
    own = own_experiment(directory.location) if resume else None
    if experiment is None and own is not None:
        check_trusted(own, directory.experiment, trust_code)
    experiment = settle_model(experiment, directory) if experiment else own or recipes.small_cnn()
    dataset = with_training_share(_by_fold(dataset, experiment), experiment)
    directory = replace(directory, trusted_code=code_named_by(experiment), typed_places=(dataset.location,))
    asked_workers = backend.num_workers if backend else workers
    if not (directory.is_begun() and (overwrite or resume)):
        directory.check_free()
    with sole_owner(directory.location):
        earlier = find_earlier_run(directory, dataset, experiment, asked_workers) if resume else None
        if earlier:
            print(earlier.message, flush=True)  # noqa: T201 - as the ranks tell the rest
            if earlier.is_finished:
                return directory
            workers = earlier.workers
        backend = backend or HorovodOnSpark(
            workers or 2, master, experiment.communication, start_timeout_seconds, conf, stall_seconds
        )
        check_trainable(dataset, backend.num_workers)
        check_model_function(experiment, dataset.manifest.image_size, len(dataset.manifest.class_names))
        _check_restarts(backend.num_workers, max_restarts, min_workers)
        with backend.ready(dataset, directory.location):
            if earlier:
                _go_on(directory, earlier)
            else:
                _begin(directory, dataset, experiment, backend, clear=overwrite or resume)
            progress = earlier.progress if earlier else Progress()
            job = TrainingJob(
                dataset.location,
                directory.location,
                experiment,
                began,
                progress,
                dict(least_scores or {}),
                checkpoint_steps=checkpoint_steps,
            )
            with tracked(track, directory, track_parent):
                results = run_with_restarts(backend, directory, job, max_restarts, min_workers)
                _finish(directory, dataset, backend, results, called, began)
    return directory


def _check_restarts(workers: int, max_restarts: int, min_workers: int | None) -> None:
    if min_workers is None:
        return
    if not 1 <= min_workers <= workers or not max_restarts:
        raise UserError(
            f"at least {min_workers} of {workers} workers after a restart, of which there may be {max_restarts}",
            "--min-workers of 1 up to the number of workers, and with it --max-restarts of 1 or more",
            "correct --min-workers, or give --max-restarts",
        )


def _finish(
    directory: RunDirectory,
    dataset: Dataset,
    backend: Backend,
    results: list[dict[str, Any]],
    called: float,
    began: float,
) -> None:
    """Make the run whole: what its ranks came to, the evaluation of its best epoch, the report."""
    digests = {result["weights_digest"] for result in results}
    if len(digests) != 1:
        raise RuntimeError("the ranks ended with different weights: the run is not to be trusted")
    start_up = {"train called": called - began, "ranks": [result.pop("start_up") for result in results]}
    if isinstance(backend, HorovodOnSpark) and backend.spark_ready is not None:
        start_up["spark"] = backend.spark_ready - began
    hosts = [result.pop("host") for result in results]
    write_json(directory.finished, {"ranks": len(results), "hosts": hosts, **results[0], "start_up_seconds": start_up})
    evaluate_best_epoch(directory, dataset)
    choose_decision(directory)
    fit_range(directory)
    renew_report(directory)


def _by_fold(dataset: Dataset | str | os.PathLike[str], experiment: Experiment) -> Dataset:
    """Return the dataset as the experiment sees it, with its validation fold."""
    dataset = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    fold = experiment.data.validation_fold
    if dataset.validation_fold == fold:
        return dataset
    if dataset.validation_fold is not None:
        raise UserError(
            f"a dataset opened for validation fold {dataset.validation_fold}, and an experiment for {fold}",
            "the same fold in both, or a dataset opened without one",
            "set data.validation_fold of the experiment",
        )
    return Dataset.open(dataset.location, fold)


def check_trainable(dataset: Dataset, num_workers: int) -> None:
    """Refuse a dataset that cannot be trained on by so many workers.

    Raises:
        UserError: all that is wrong, together.
    """
    problems = []
    names = dataset.manifest.class_names
    for split in ("train", "validation"):
        try:
            summary = dataset.split(split)
            check_enough_row_groups(len(dataset.rows_per_row_group(split)), num_workers)
        except UserError as error:
            problems.append(error)
            continue
        missing = [name for name in names if not summary.images_per_class.get(name)]
        # Of many classes a rare one may be missing from validation, where its scores are then not defined.
        if missing and (split == "train" or len(names) - len(missing) < 2):
            problems.append(
                UserError(
                    f"the split {split!r} of {dataset.location} has no image of class {', '.join(missing)}",
                    "every class in the training split, and at least two in the validation split",
                    "write the dataset again from a source with subjects of each class in both, or without the class",
                )
            )
    raise_together(problems)


def _begin(directory: RunDirectory, dataset: Dataset, experiment: Experiment, backend: Backend, clear: bool) -> None:
    """Mark the place as that of a run, and keep what it is made of; `clear` deletes a run that is there."""
    if clear:
        directory.clear()
    directory.check_free()
    write_json(directory.run, describe(dataset, type(backend).__name__, backend.num_workers))
    keep_training_images(directory, dataset)
    keep_preparation(directory, dataset.manifest, experiment)
    write_json(directory.experiment, experiment.model_dump())


def _go_on(directory: RunDirectory, earlier: EarlierRun) -> None:
    """Note when and with what software the run goes on."""
    storage.remove_left_aside(directory.location)
    times = [*earlier.description.get("resumed", []), {"after_epoch": earlier.progress.epochs_done, **environment()}]
    write_json(directory.run, {**earlier.description, "resumed": times})
