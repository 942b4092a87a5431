"""Evaluate a run's model on a split, on one process or on Spark."""

import os
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.data.shard_plan import check_enough_row_groups
from hvdcells.errors import UserError
from hvdcells.experiment import Experiment
from hvdcells.report import renew_report
from hvdcells.runs.directory import RunDirectory, checked_views, damage_told
from hvdcells.runs.earlier_run import dataset_digest, digest_as_trained
from hvdcells.runs.jobs import EvaluationJob
from hvdcells.runs.training_images import compare_with_training
from hvdcells.scores.evaluated_dataset import EvaluatedDataset, shortened
from hvdcells.spark.backends import Backend, HorovodOnSpark, InProcess

if TYPE_CHECKING:
    from hvdcells.scores.evaluation import Evaluation


@storage.user_errors()
def evaluate(
    run: RunDirectory | str | os.PathLike[str],
    dataset: Dataset | str | os.PathLike[str] | None = None,
    split: str = "test",
    *,
    other_dataset: bool = False,
    positive: Sequence[str] | None = None,
    tta: int = 1,
    explain: bool = True,
    workers: int = 1,
    master: str | None = None,
    backend: Backend | None = None,
    conf: Mapping[str, str] | None = None,
    trust_code: Collection[str] = (),
) -> "Evaluation":
    """Evaluate the best model of a run on a split; predictions and scores go to the run directory.

    What another dataset shares with what the run was trained and validated on is part of the evaluation. It is kept
    beside the run's own, under the name `Evaluation.name`.

    Args:
        run: a finished run.
        dataset: where it is now, or another than the run was trained on; None for where it was trained on.
        split: `train`, `validation` or `test`.
        other_dataset: the dataset may be another than the run was trained on, although it lies at the same place.
        positive: classes that count as ill, for sensitivity and specificity; None for those of the dataset.
        tta: 8 to average the probabilities of each image's eight flips and turns.
        explain: make heat maps of the worst and the surest images of each class for the report.
        workers: ranks; one runs in this process, more on Spark.
        master: Spark master; with it, one worker runs on Spark too.
        backend: another way to run the ranks.
        conf: Spark settings of a session that is started here.
        trust_code: modules of which the run's own description may name a function. What `train` has returned in this
            process needs none.

    Raises:
        UserError: no finished run, no dataset, no such split, or more workers than row groups; the dataset has changed
            since the run was trained, or another one has other classes; or `positive` names no class, or all. Or the
            run names a function of a module that is not trusted.
    """
    directory = (run if isinstance(run, RunDirectory) else RunDirectory.at(run)).trusting(trust_code)
    experiment = directory.read_experiment()
    evaluated = find_dataset(directory, experiment, dataset, split, other_dataset)
    opened = Dataset.open(evaluated.location, evaluated.validation_fold)
    if backend is None:
        spark = workers > 1 or master is not None
        backend = HorovodOnSpark(workers, master, experiment.communication, conf=conf) if spark else InProcess()
    check_enough_row_groups(len(opened.rows_per_row_group(split)), backend.num_workers)
    chosen = None if positive is None else check_positive(positive, opened.manifest.class_names)
    job = EvaluationJob(evaluated, directory.location, split, experiment, chosen, checked_views(tta), explain)
    with backend.ready(opened, directory.location):
        evaluation: Evaluation = backend.run("hvdcells.rank.evaluate:evaluate_on_rank", job, directory.path("logs"))[0]
    renew_report(directory.following(evaluated.location))
    return evaluation


def check_positive(positive: Sequence[str], class_names: Sequence[str]) -> tuple[str, ...]:
    """Return the classes that are to count as ill, in the order of the classes.

    Raises:
        UserError: one is no class of the dataset, or all count as ill.
    """
    unknown = [name for name in positive if name not in class_names]
    chosen = tuple(name for name in class_names if name in positive)
    if unknown or not chosen or len(chosen) == len(class_names):
        raise UserError(
            f"classes that count as ill: {', '.join(positive) or 'none'}",
            f"some, and not all, of the dataset's classes: {', '.join(class_names)}",
            "correct the names, or leave --positive out",
        )
    return chosen


def find_dataset(
    run: RunDirectory,
    experiment: Experiment,
    given: Dataset | str | os.PathLike[str] | None,
    split: str,
    other_dataset: bool,
) -> EvaluatedDataset:
    """Find out whether the dataset to evaluate is the one that a run was trained on; compare another one with it.

    Args:
        run: a finished run.
        experiment: its experiment.
        given: a dataset or a location; None for where the run was trained.
        split: what is evaluated.
        other_dataset: another one is meant, although it lies where the run was trained.

    Raises:
        UserError: no dataset, or another one that is not meant, has other classes or no such split.
    """
    with damage_told(run.location):
        noted = run.read_json(run.run)["dataset"]
    if isinstance(given, Dataset):
        dataset = Dataset.open(given.location, given.validation_fold)  # as it is now
    else:
        if given is None:
            run.check_followed(noted["location"])
        dataset = Dataset.open(noted["location"] if given is None else given)
    own, fold = dataset, experiment.data.validation_fold
    if dataset.validation_fold is None and str(fold) in dataset.manifest.folds:
        own = Dataset.open(dataset.location, fold)
    found = digest_as_trained(own, experiment)
    if found == noted["digest"]:
        return EvaluatedDataset(own.location, found, own.validation_fold)
    if dataset.location == noted["location"] and not other_dataset:
        seen = "" if dataset.validation_fold in (None, fold) else f", seen by its fold {dataset.validation_fold},"
        raise UserError(
            f"the dataset {dataset.location}{seen} holds something else (digest {shortened(found)}) than when the run "
            f"{run.location} was trained on it (digest {shortened(noted['digest'])})",
            f"the dataset as it was then: images and subjects trained on may now be in the split {split!r}",
            "name the place of the run's own dataset with --dataset, or say with --other-dataset (in Python: "
            "other_dataset=True) that another one is meant; you are told then what it shares with the training",
        )
    other = compare_with_training(run, dataset, split)
    return EvaluatedDataset(dataset.location, dataset_digest(dataset), dataset.validation_fold, other)
