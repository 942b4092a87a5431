"""Evaluate a run's model on a split, on one process or on Spark."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.data.shard_plan import check_enough_row_groups
from hvdcells.report import renew_report
from hvdcells.runs.directory import RunDirectory
from hvdcells.runs.jobs import EvaluationJob
from hvdcells.spark.backends import Backend, HorovodOnSpark, InProcess

if TYPE_CHECKING:
    from hvdcells.scores.evaluation import Evaluation


@storage.user_errors()
def evaluate(
    run: RunDirectory | str | os.PathLike,
    dataset: Dataset | str | os.PathLike | None = None,
    split: str = "test",
    *,
    workers: int = 1,
    master: str | None = None,
    backend: Backend | None = None,
    conf: Mapping[str, str] | None = None,
) -> "Evaluation":
    """Evaluate the best model of a run on a split; predictions and scores go to the run directory.

    Args:
        run: a finished run.
        dataset: another dataset than the run was trained on.
        split: `train`, `validation` or `test`.
        workers: ranks; one runs in this process, more on Spark.
        master: Spark master; with it, one worker runs on Spark too.
        backend: another way to run the ranks.
        conf: Spark settings of a session that is started here.

    Raises:
        UserError: no finished run, no dataset, no such split, or more workers than row groups.
    """
    directory = run if isinstance(run, RunDirectory) else RunDirectory.at(run)
    experiment = directory.read_experiment()
    if dataset is None:
        location = directory.read_json(directory.run)["dataset"]["location"]
        dataset = Dataset.open(location, experiment.data.validation_fold)
    dataset = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    if backend is None:
        spark = workers > 1 or master is not None
        backend = HorovodOnSpark(workers, master, experiment.communication, conf=conf) if spark else InProcess()
    check_enough_row_groups(len(dataset.rows_per_row_group(split)), backend.num_workers)
    job = EvaluationJob(dataset.location, directory.location, dataset.validation_fold, split, experiment)
    with backend.ready(dataset, directory.location):
        evaluation = backend.run("hvdcells.rank.evaluate:evaluate_on_rank", job, directory.path("logs"))[0]
    renew_report(directory)
    return evaluation
