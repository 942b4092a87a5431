"""Cross-validation: each fold validates once what was trained on the others. `cross_validate` tells it."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.data.manifest import SYNTHETIC_NOTICE
from hvdcells.data.subset import open_for_training
from hvdcells.driver.ensemble import make_ensemble
from hvdcells.driver.runs_folder import Ranks, RunsFolder, plan_of, scores_of, train_unless_finished
from hvdcells.driver.train import check_trainable
from hvdcells.errors import UserError, raise_together
from hvdcells.experiment import Experiment
from hvdcells.runs.earlier_run import dataset_digest
from hvdcells.runs.lock import sole_owner
from hvdcells.runs.predictions import OUT_OF_FOLD, read_predictions
from hvdcells.scores.evaluated_dataset import EvaluatedDataset
from hvdcells.spark.backends import Backend

if TYPE_CHECKING:
    import pandas as pd

    from hvdcells.scores.evaluation import Evaluation

SUMMARY_NAME = "cross-validation.json"
ENSEMBLE = "ensemble"
CAVEAT = "Folds share training images, so the interval over folds is an approximation."
CHOSEN = (
    "The epoch of each fold was chosen on that fold, so these figures flatter a little; with training.select=last "
    "none is chosen."
)
NOT_CHOSEN = "Each fold is judged by the model of its last epoch: nothing was chosen on it."


@dataclass(frozen=True)
class Spread:
    """One score over the folds. `low` and `high` bound the mean (95 %, t distribution); None is "not defined"."""

    mean: float | None
    std: float | None
    low: float | None
    high: float | None
    folds_without: int = 0
    """Folds where the score is not defined (AUROC of one class); the others make up the rest."""


@dataclass(frozen=True)
class CrossValidation:
    """What came out of a cross-validation."""

    location: str
    summary: str
    """Location of the JSON file with all of it."""
    predictions: str
    """Location of the pooled out-of-fold predictions (Parquet), with the column `fold`."""
    per_fold: list[dict[str, Any]]
    """Validation scores of each fold, with `fold`, `best_epoch` and `run`."""
    spread: dict[str, Spread]
    pooled: "Evaluation"
    """Of all images together, each predicted by the model that did not train on it."""
    caveat: str
    """How far the figures can be trusted."""


@storage.user_errors()
def cross_validate(
    dataset: Dataset | str | os.PathLike[str],
    runs: str | os.PathLike[str],
    experiment: Experiment,
    *,
    workers: int = 2,
    master: str | None = None,
    backend: Backend | None = None,
    conf: Mapping[str, str] | None = None,
    track: str | None = None,
    say: Callable[[str], None] = print,
) -> CrossValidation:
    """Train once for each fold of a dataset, on the other folds, and validate on it.

    The folds are those of `hvdcells etl --split k-fold`: whole leakage groups, so that no subject is on both sides. The
    runs go one after another on one Spark session. Last, their models together are made a run directory of their own,
    `ensemble`, whose probabilities are the mean of theirs. Folds that are done are kept: the same call goes on after an
    interruption.

    Args:
        dataset: a dataset with folds, or its location.
        runs: folder for the runs `fold-0`, `fold-1`, … and the summary `cross-validation.json`.
        experiment: what to train each time.
        workers: ranks; see `hvdcells.train`.
        master: Spark master; see `hvdcells.train`.
        backend: another way to run the ranks.
        conf: Spark settings; see `hvdcells.train`.
        track: a server that is told of each run, below one of the folder; see `hvdcells.train`.
        say: told what goes on, line by line.

    Raises:
        UserError: the dataset has no folds, one of them cannot be trained without or validated on, or `runs` holds
            something else. Nothing is written then.
    """
    from hvdcells.storage import parquet

    dataset = Dataset.open(dataset.location if isinstance(dataset, Dataset) else dataset)
    ranks, folder = Ranks(workers, master, backend, conf, track), RunsFolder.at(runs, SUMMARY_NAME)
    folds = check_folds(dataset, experiment, ranks.num_workers)
    ranks.check()
    plan = plan_of(dataset, experiment, folds=folds)
    folder.check(plan)
    per_fold: list[dict[str, Any]] = []
    with sole_owner(folder.location), ranks.one_session(folder.location) as ranks:
        folder.write({"plan": plan})
        for fold in folds:
            say(f"fold {fold}: {len(per_fold) + 1} of {len(folds)}")
            of_fold = experiment.override({"data.validation_fold": fold})
            run = train_unless_finished(folder.run(f"fold-{fold}"), dataset, of_fold, ranks)
            per_fold.append({"fold": fold, "run": run.location, **scores_of(run)})

    predictions = pooled_predictions(folder, folds)
    result = CrossValidation(
        location=folder.location,
        summary=folder.summary,
        predictions=storage.join(folder.location, "predictions", f"{OUT_OF_FOLD}.parquet"),
        per_fold=per_fold,
        spread=spread_over_folds(per_fold),
        pooled=evaluate_pooled(predictions, dataset),
        caveat=f"{CHOSEN if experiment.training.select == 'best' else NOT_CHOSEN} {CAVEAT}",
    )
    parquet.write_rows(result.predictions, predictions)
    members = [folder.run(f"fold-{fold}") for fold in folds]
    make_ensemble(folder.run(ENSEMBLE), members, dataset.location, experiment, predictions, result.pooled)
    folder.write(to_dict(result, plan, dataset.manifest.synthetic))
    return result


def check_folds(dataset: Dataset, experiment: Experiment, num_workers: int) -> list[int]:
    """Return the folds of a dataset that can be cross-validated.

    Raises:
        UserError: all that is wrong, together.
    """
    if experiment.data.validation_fold is not None:
        raise UserError(
            f"data.validation_fold={experiment.data.validation_fold}",
            "no fold: a cross-validation takes each in turn",
            "leave the field out, or train on that fold alone with `hvdcells train`",
        )
    if not dataset.manifest.folds:
        raise UserError(
            f"the dataset {dataset.location} has no folds",
            "a dataset written with `hvdcells etl --split k-fold`, whose folds keep leakage groups whole",
            "write the dataset again with `--split k-fold --num-folds K`",
        )
    folds, problems = sorted(map(int, dataset.manifest.folds)), []
    for fold in folds:
        try:
            of_fold = experiment.override({"data.validation_fold": fold})
            check_trainable(open_for_training(dataset.location, of_fold), num_workers)
        except UserError as error:
            problems.append(UserError(f"fold {fold}: {error.given}", error.expected, error.remedy))
    raise_together(problems)
    return folds


def pooled_predictions(folder: RunsFolder, folds: Sequence[int]) -> "pd.DataFrame":
    """Return the validation predictions of all folds, with the column `fold`.

    Raises:
        RuntimeError: an image was validated twice.
    """
    import pandas as pd

    parts = []
    for fold in folds:
        run = folder.run(f"fold-{fold}")
        part = read_predictions(run, "validation")
        parts.append(part.assign(fold=fold))
    pooled = pd.concat(parts, ignore_index=True)
    if not pooled["image_id"].is_unique:
        raise RuntimeError("an image was validated in two folds: the cross-validation is not to be trusted")
    return pooled


def evaluate_pooled(predictions: "pd.DataFrame", dataset: Dataset) -> "Evaluation":
    """Evaluate the out-of-fold predictions of all images together."""
    from hvdcells.scores.evaluation import Evaluation

    expected = dataset.split("train").images
    if len(predictions) != expected:
        raise RuntimeError(f"{len(predictions)} out-of-fold predictions of {expected} images")
    evaluated = EvaluatedDataset(dataset.location, dataset_digest(dataset))
    return Evaluation.of_predictions(predictions, dataset.manifest, evaluated, split=OUT_OF_FOLD, epoch=None)


def spread_over_folds(per_fold: Sequence[dict[str, Any]]) -> dict[str, Spread]:
    """Return mean, standard deviation and interval of each score over the folds."""
    from hvdcells.scores.classification import POSITIVE_SCORE_NAMES, SCORE_NAMES, score_range

    names = [name for name in (*SCORE_NAMES, *POSITIVE_SCORE_NAMES) if name in per_fold[0]]
    spreads = {name: spread([scores[name] for scores in per_fold], *score_range(name)) for name in names}
    return {**spreads, "loss": spread([scores["loss"] for scores in per_fold])}


def spread(values: Sequence[float | None], least: float = 0.0, largest: float = math.inf) -> Spread:
    """Return mean, sample standard deviation and 95 % interval of the mean of the values that are defined.

    The interval is mean ± t(0.975, k − 1) · std / √k, cut at `least` and `largest`. It takes the folds for independent,
    which they are not: there is no unbiased estimate of the variance of cross-validation (Bengio and Grandvalet 2004).
    """
    import numpy as np
    from scipy.stats import t

    defined = np.array([value for value in values if value is not None])
    missing = len(values) - len(defined)
    if not len(defined):
        return Spread(None, None, None, None, missing)
    mean = float(defined.mean())
    if len(defined) == 1:
        return Spread(mean, None, None, None, missing)
    std = float(defined.std(ddof=1))
    half = float(t.ppf(0.975, len(defined) - 1)) * std / math.sqrt(len(defined))
    return Spread(mean, std, max(least, mean - half), min(largest, mean + half), missing)


def to_dict(result: CrossValidation, plan: dict[str, Any], synthetic: bool) -> dict[str, Any]:
    """Return what `cross-validation.json` holds when all folds are done."""
    notice = {"notice": SYNTHETIC_NOTICE} if synthetic else {}
    spreads = {name: vars(value) for name, value in result.spread.items()}
    return {
        **notice,
        "caveat": result.caveat,
        "over_folds": spreads,
        "folds": result.per_fold,
        "pooled_out_of_fold": result.pooled.to_dict(),
        "plan": plan,
    }
