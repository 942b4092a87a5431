"""The folds of a cross-validation as one model: a run directory of them all, whose probabilities are averaged."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hvdcells import storage
from hvdcells.data.subset import open_for_training
from hvdcells.experiment import Experiment
from hvdcells.report import renew_report
from hvdcells.runs.decision import choose_decision
from hvdcells.runs.directory import RunDirectory, write_json
from hvdcells.runs.predictions import OUT_OF_FOLD, write_evaluation, write_predictions
from hvdcells.runs.preparation import keep_preparation
from hvdcells.runs.provenance import describe
from hvdcells.runs.training_images import keep_training_images

if TYPE_CHECKING:
    import pandas as pd

    from hvdcells.scores.evaluation import Evaluation


def make_ensemble(
    ensemble: RunDirectory,
    members: Sequence[RunDirectory],
    dataset: str,
    experiment: Experiment,
    predictions: "pd.DataFrame",
    evaluation: "Evaluation",
) -> None:
    """Make a run directory of finished folds; one that is there is left alone, with the decision it may have by now.

    Its own predictions are those out of fold: of each image that of the one model that did not train on it. The
    average of all models has seen every training image, so its decision is chosen on these, of single models.

    Args:
        ensemble: where it is made.
        members: the runs of the folds. Their models are copied, so that one folder is all that prediction needs.
        dataset: location of the dataset, with all folds.
        experiment: of the members, without a fold.
        predictions: out of fold, of all training images.
        evaluation: of these.
    """
    if storage.exists(ensemble.finished):
        return
    opened = open_for_training(dataset, experiment)
    noted = describe(opened, "average", len(members))
    write_json(ensemble.run, {**noted, "members": [member.location for member in members]})
    keep_training_images(ensemble, opened)
    keep_preparation(ensemble, opened.manifest, experiment)
    write_json(ensemble.experiment, experiment.model_dump())
    for number, member in enumerate(members):
        content = storage.read_bytes(member.model)
        storage.write_bytes(ensemble.path("models", f"member-{number:03d}.keras"), content)
    if storage.exists(members[0].range):  # features are those of the first model
        storage.write_bytes(ensemble.range, storage.read_bytes(members[0].range))
    write_predictions(ensemble, OUT_OF_FOLD, predictions.drop(columns="fold"))
    write_evaluation(ensemble, evaluation)
    write_json(ensemble.finished, {"best_epoch": None, "epochs": experiment.training.epochs})
    choose_decision(ensemble)
    renew_report(ensemble)
