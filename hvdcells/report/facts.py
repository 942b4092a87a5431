"""What a report tells of, gathered from a run directory. What is not there is noted, not hidden."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.errors import UserError
from hvdcells.runs.directory import RunDirectory
from hvdcells.runs.predictions import read_predictions
from hvdcells.scores.evaluation import Evaluation

if TYPE_CHECKING:
    import pandas as pd

SPLITS_IN_ORDER = ("test", "validation", "train")
"""Test first: it alone was used for no choice."""


@dataclass(frozen=True)
class SplitFacts:
    """Predictions of one split and their evaluation."""

    evaluation: Evaluation
    predictions: "pd.DataFrame"
    location: str
    """Of the dataset."""
    dataset: Dataset | None
    """None where it is not to be had any more."""


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
    splits: list[SplitFacts]
    missing: list[str] = field(default_factory=list)
    """What the reader might look for and does not find, in words."""

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose model is kept, from 1; in an unfinished run the best so far."""
        return _best_epoch(self.epochs)

    @property
    def keeps_last_epoch(self) -> bool:
        """Whether the last epoch's model is kept, whatever its score."""
        return self.experiment.get("training", {}).get("select") == "last"


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
    missing: list[str] = []
    run = directory.read_json(directory.run)
    finished = directory.read_json(directory.finished) if storage.exists(directory.finished) else None
    epochs = directory.read_metrics() if storage.exists(directory.metrics) else []
    if finished is None:
        missing.append(f"This run has not finished: {len(epochs)} epochs are done, and what follows is their state.")
    dataset = _open(run["dataset"], "location", missing)
    splits = []
    for split in SPLITS_IN_ORDER:
        facts = _split_facts(directory, split, epochs, dataset, missing)
        if facts is not None:
            splits.append(facts)
    known = {facts.evaluation.split for facts in splits}
    if "validation" not in known:
        missing.append("The run holds no validation predictions.")
    facts = RunFacts(
        directory=directory,
        run=run,
        experiment=directory.read_json(directory.experiment),
        epochs=epochs,
        finished=finished,
        dataset=dataset,
        splits=splits,
        missing=missing,
    )
    if "test" not in known:
        flatter = (
            "" if facts.keeps_last_epoch else " Validation scores flatter, since the best epoch was chosen by them."
        )
        missing.insert(
            0,
            "The test split has not been evaluated: `hvdcells evaluate RUN --split test` does it and renews this "
            f"report.{flatter}",
        )
    return facts


def _open(noted: dict[str, Any], name: str, missing: list[str]) -> Dataset | None:
    """Open the dataset whose location was noted under a name."""
    try:
        return Dataset.open(noted[name], noted["validation_fold"])
    except (UserError, OSError) as error:
        reason = error.given if isinstance(error, UserError) else str(error)
        missing.append(f"The dataset cannot be opened, so its images and counts are not shown: {reason}.")
        return None


def _split_facts(
    directory: RunDirectory, split: str, epochs: list[dict], dataset: Dataset | None, missing: list[str]
) -> SplitFacts | None:

    if not storage.exists(directory.predictions(split)):
        return None
    predictions = read_predictions(directory, split)
    if not storage.exists(directory.evaluation(split)):
        if dataset is None:
            missing.append(f"The predictions of {split} cannot be evaluated without their dataset.")
            return None
        evaluation = Evaluation.of_predictions(predictions, dataset.manifest, split=split, epoch=_best_epoch(epochs))
        return SplitFacts(evaluation, predictions, dataset.location, dataset)
    kept = directory.read_json(directory.evaluation(split))
    if dataset is None or (kept["dataset"], kept["validation_fold"]) != (dataset.location, dataset.validation_fold):
        dataset = _open(kept, "dataset", missing)
    return SplitFacts(Evaluation.from_dict(kept), predictions, kept["dataset"], dataset)


def _best_epoch(epochs: list[dict]) -> int | None:
    return next((line["epoch"] for line in reversed(epochs) if line["best"]), None)
