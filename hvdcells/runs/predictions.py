"""Predictions of a run and their evaluations: written, and read again."""

from typing import TYPE_CHECKING

from hvdcells.data.dataset import Dataset
from hvdcells.runs.directory import RunDirectory, write_json

if TYPE_CHECKING:
    import pandas as pd

    from hvdcells.scores.evaluation import Evaluation

PREDICTION_COLUMNS = ("image_id", "subject", "label", "source", "content_hash")


def write_predictions(run: RunDirectory, split: str, predictions: "pd.DataFrame") -> None:
    """Write the predictions of a split: `PREDICTION_COLUMNS`, `logit` and `probability` of cancer, a row per image."""
    write_rows(run.predictions(split), predictions)


def read_predictions(run: RunDirectory, split: str) -> "pd.DataFrame":
    """Return what `write_predictions` wrote.

    Raises:
        FileNotFoundError: the split has not been predicted.
    """
    from hvdcells.storage import parquet

    return parquet.read_table(run.predictions(split)).to_pandas()


def write_rows(location: str, rows: "pd.DataFrame") -> None:
    """Write predictions, with whatever columns, as one Parquet file without the index."""
    import pyarrow as pa

    from hvdcells.storage import parquet

    parquet.write_table(location, pa.Table.from_pandas(rows, preserve_index=False))


def write_evaluation(run: RunDirectory, evaluation: "Evaluation", dataset: Dataset) -> None:
    """Write the evaluation of a split, and on which dataset it was made."""
    where = {"dataset": dataset.location, "validation_fold": dataset.validation_fold}
    write_json(run.evaluation(evaluation.split), {**evaluation.to_dict(), **where})


def evaluate_best_epoch(run: RunDirectory, dataset: Dataset) -> "Evaluation":
    """Evaluate the validation predictions that training left of its best epoch, and write the result.

    Runs on the driver: it needs neither the model nor TensorFlow.
    """
    from hvdcells.scores.evaluation import Evaluation

    predictions = read_predictions(run, "validation")
    epoch = run.read_json(run.finished)["best_epoch"]
    evaluation = Evaluation.of_predictions(predictions, dataset.manifest, split="validation", epoch=epoch)
    write_evaluation(run, evaluation, dataset)
    return evaluation
