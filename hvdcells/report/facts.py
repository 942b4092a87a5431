"""What a report tells of, gathered from a run directory. What is not there is noted, not hidden."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.errors import UserError
from hvdcells.runs.decision import judge_decision, read_decision
from hvdcells.runs.directory import RunDirectory, damage_told
from hvdcells.runs.divergence import divergence_told
from hvdcells.runs.earlier_run import digest_as_trained, own_experiment
from hvdcells.runs.explanations import Explanations, read_explanations
from hvdcells.runs.predictions import read_predictions
from hvdcells.scores.evaluated_dataset import EvaluatedDataset, shortened
from hvdcells.scores.evaluation import Evaluation

if TYPE_CHECKING:
    import pandas as pd

    from hvdcells.scores.decision import Decision

SPLITS_IN_ORDER = ("test", "validation", "train")
"""Test first: it alone was used for no choice."""


@dataclass(frozen=True)
class SplitFacts:
    """Predictions of one split and their evaluation."""

    evaluation: Evaluation
    predictions: "pd.DataFrame"
    dataset: Dataset | None
    """The one evaluated; None where it is not to be had any more."""
    explanations: Explanations | None = None


@dataclass(frozen=True)
class RunFacts:
    """All that a report tells of."""

    directory: RunDirectory
    run: dict[str, Any]
    experiment: dict[str, Any]
    """As it was written: also one of another version can be shown."""
    epochs: list[dict[str, Any]]
    finished: dict[str, Any] | None
    dataset: Dataset | None
    """The one trained on; None where it is not to be had any more."""
    splits: list[SplitFacts]
    cost: dict[str, Any] | None = None
    """What its machines have cost: `usd_least`, `usd`, `as_of`, `missing`; None where nobody has written it."""
    decision: "Decision | None" = None
    judged: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the decision comes to, by the name of the evaluation."""
    missing: list[str] = field(default_factory=list)
    """What the reader might look for and does not find, in words."""

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose model is kept, from 1; in an unfinished run the best so far."""
        return _best_epoch(self.epochs)

    @property
    def keeps_last_epoch(self) -> bool:
        """Whether the last epoch's model is kept, whatever its score."""
        return bool(self.experiment.get("training", {}).get("select") == "last")


def gather(directory: RunDirectory) -> RunFacts:
    """Read a run directory, whole or not.

    Raises:
        UserError: no run is there.
    """
    if not storage.exists(directory.run):
        raise UserError(
            f"{directory.location} holds no run",
            "a run directory made by `hvdcells train`",
            "name a run directory, or train one with `hvdcells train DATASET RUN`",
        )
    with damage_told(directory.location):
        return _gathered(directory)


def _gathered(directory: RunDirectory) -> RunFacts:
    missing: list[str] = []
    run = directory.read_json(directory.run)
    finished = directory.read_json(directory.finished) if storage.exists(directory.finished) else None
    epochs = directory.read_metrics() if storage.exists(directory.metrics) else []
    if finished is None:
        missing.append(f"This run has not finished: {len(epochs)} epochs are done, and what follows is their state.")
    diverged = divergence_told(epochs, len(run["dataset"]["class_names"]))
    if diverged is not None:
        missing.append(diverged)
    dataset = _open_own(directory, run["dataset"], missing)
    others = [name for name in directory.evaluations() if name not in SPLITS_IN_ORDER]
    found = [
        _split_facts(directory, name, run["dataset"], epochs, dataset, missing) for name in (*SPLITS_IN_ORDER, *others)
    ]
    if not storage.exists(directory.predictions("validation")) and "members" not in run:
        missing.append("The run holds no validation predictions.")
    decision, judged = _decision(directory, [split.evaluation.name for split in found if split is not None], missing)
    facts = RunFacts(
        directory=directory,
        run=run,
        experiment=directory.read_json(directory.experiment),
        epochs=epochs,
        finished=finished,
        dataset=dataset,
        splits=[split for split in found if split is not None],
        cost=directory.read_json(directory.cost) if storage.exists(directory.cost) else None,
        decision=decision,
        judged=judged,
        missing=missing,
    )
    if not storage.exists(directory.evaluation("test")):
        flatter = (
            "" if facts.keeps_last_epoch else " Validation scores flatter, since the best epoch was chosen by them."
        )
        missing.insert(
            0,
            "The test split has not been evaluated: `hvdcells evaluate RUN --split test` does it and renews this "
            f"report.{flatter}",
        )
    return facts


def _decision(
    directory: RunDirectory, names: list[str], missing: list[str]
) -> "tuple[Decision | None, dict[str, dict[str, Any]]]":
    """Return the run's decision and what it comes to on each evaluation; nothing where the run has none."""
    if not storage.exists(directory.decision):
        return None, {}
    try:
        decision, _ = read_decision(directory)
    except UserError as error:
        missing.append(f"The run's decision cannot be read: {error.given}.")
        return None, {}
    evaluated = [name for name in names if storage.exists(directory.evaluation(name))]
    return decision, {name: judge_decision(directory, name) for name in evaluated}


def _open_own(directory: RunDirectory, noted: dict[str, Any], missing: list[str]) -> Dataset | None:
    """Open the dataset that the run was trained on, unless another one lies at its place by now."""
    dataset = _open(directory, noted["location"], noted["validation_fold"], missing)
    if dataset is None:
        return None
    try:
        experiment = own_experiment(directory.location)
    except (ValueError, UserError):
        experiment = None
    if experiment is None:
        return dataset  # an experiment of another version: how it saw the dataset is not known
    found = digest_as_trained(dataset, experiment)
    if found == noted["digest"]:
        return dataset
    missing.append(
        f"The dataset at {dataset.location} (digest {shortened(found)}) is no longer the one that was trained on "
        f"(digest {shortened(noted['digest'])}), so its images and counts are not shown."
    )
    return None


def _open(directory: RunDirectory, location: str, validation_fold: int | None, missing: list[str]) -> Dataset | None:
    try:
        directory.check_followed(location)
        return Dataset.open(location, validation_fold)
    except (UserError, OSError) as error:
        reason = error.given if isinstance(error, UserError) else str(error)
        missing.append(f"The dataset cannot be opened, so its images and counts are not shown: {reason}.")
        return None


def _split_facts(
    directory: RunDirectory,
    name: str,
    noted: dict[str, Any],
    epochs: list[dict[str, Any]],
    own: Dataset | None,
    missing: list[str],
) -> SplitFacts | None:
    """Return what there is of one evaluation, by its name; `own` is the dataset trained on, `noted` what is kept of it.

    Predictions of a split that is not evaluated yet are those of an unfinished run, and so of its own dataset.
    """
    if not storage.exists(directory.predictions(name)):
        return None
    predictions = read_predictions(directory, name)
    if not storage.exists(directory.evaluation(name)):
        if own is None:
            missing.append(f"The predictions of {name} cannot be evaluated without their dataset.")
            return None
        evaluated = EvaluatedDataset(noted["location"], noted["digest"], noted["validation_fold"])
        epoch = _best_epoch(epochs)
        evaluation = Evaluation.of_predictions(predictions, own.manifest, evaluated, split=name, epoch=epoch)
        return SplitFacts(evaluation, predictions, own)
    kept = directory.read_json(directory.evaluation(name))
    try:
        evaluation = Evaluation.from_dict(kept)
    except (KeyError, ValidationError):
        split = kept.get("split", name)
        missing.append(
            f"The evaluation of {name} is of an earlier version, which noted other scores: "
            f"`hvdcells evaluate RUN --split {split}` makes it anew."
        )
        return None
    evaluated = evaluation.dataset
    if evaluated.digest == noted["digest"] and evaluated.location == noted["location"]:
        dataset = own
    else:
        dataset = _open(directory, evaluated.location, evaluated.validation_fold, missing)
    return SplitFacts(evaluation, predictions, dataset, read_explanations(directory, name))


def _best_epoch(epochs: list[dict[str, Any]]) -> int | None:
    return next((line["epoch"] for line in reversed(epochs) if line["best"]), None)
