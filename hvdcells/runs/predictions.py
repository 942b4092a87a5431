"""Predictions of a run and their evaluations: written, and read again."""

from typing import TYPE_CHECKING

from hvdcells.data.dataset import Dataset
from hvdcells.runs.directory import RunDirectory, write_json
from hvdcells.runs.earlier_run import dataset_digest
from hvdcells.scores.evaluated_dataset import EvaluatedDataset

if TYPE_CHECKING:
    import pandas as pd

    from hvdcells.scores.evaluation import Evaluation

OUT_OF_FOLD = "out-of-fold"
"""What the predictions of a cross-validation are called, each by the model that did not train on the image."""
PREDICTION_COLUMNS = ("image_id", "subject", "label", "source", "content_hash")
"""Of each image in a table of predictions, beside the logits and the probabilities of the classes."""


def write_predictions(run: RunDirectory, name: str, predictions: "pd.DataFrame") -> None:
    """Write the predictions of a split, as `prediction_table` makes them of `PREDICTION_COLUMNS`."""
    from hvdcells.storage import parquet

    parquet.write_rows(run.predictions(name), predictions)


def read_predictions(run: RunDirectory, name: str) -> "pd.DataFrame":
    """Return what `write_predictions` wrote, with the same columns where an earlier version did.

    Raises:
        FileNotFoundError: the split has not been predicted.
    """
    from hvdcells.scores.prediction_table import as_of_now
    from hvdcells.storage import parquet

    class_names = run.read_json(run.run)["dataset"]["class_names"]
    return as_of_now(parquet.read_rows(run.predictions(name)), class_names)


def write_evaluation(run: RunDirectory, evaluation: "Evaluation") -> None:
    """Write an evaluation, with the dataset it was made on."""
    write_json(run.evaluation(evaluation.name), evaluation.to_dict())


def evaluate_best_epoch(run: RunDirectory, dataset: Dataset) -> "Evaluation":
    """Evaluate the validation predictions that training left of its best epoch, and write the result.

    Runs on the driver: it needs neither the model nor TensorFlow.

    Args:
        run: whose ranks are done.
        dataset: as its experiment sees it.
    """
    from hvdcells.scores.evaluation import Evaluation

    evaluated = EvaluatedDataset(dataset.location, dataset_digest(dataset), dataset.validation_fold)
    predictions = read_predictions(run, "validation")
    epoch = run.read_json(run.finished)["best_epoch"]
    evaluation = Evaluation.of_predictions(predictions, dataset.manifest, evaluated, split="validation", epoch=epoch)
    write_evaluation(run, evaluation)
    return evaluation
