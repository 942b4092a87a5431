"""What one rank does to evaluate. `evaluate_on_rank` tells it from top to bottom."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.data.shard_plan import plan_epoch
from hvdcells.experiment import Experiment
from hvdcells.rank.start import import_tensorflow, start_rank
from hvdcells.runs.directory import RunDirectory, write_json

if TYPE_CHECKING:
    import pandas as pd

    from hvdcells.scores.evaluation import Evaluation

PREDICTION_COLUMNS = ("image_id", "subject", "label", "source", "content_hash")


@dataclass(frozen=True)
class EvaluationJob:
    """What the driver hands to every rank."""

    dataset: str
    run: str
    validation_fold: int | None
    split: str
    experiment: Experiment


def evaluate_on_rank(job: EvaluationJob) -> "Evaluation":
    """Predict this rank's share of a split, gather all predictions, score them; rank 0 writes the results.

    Returns:
        The evaluation, the same on every rank.
    """
    import_tensorflow()
    import horovod.tensorflow as hvd

    from hvdcells.rank.checkpoint import load_model
    from hvdcells.rank.input.batches import rank_batches
    from hvdcells.rank.models.function import import_function
    from hvdcells.rank.prediction import Predictor, probabilities_of
    from hvdcells.scores.evaluation import Evaluation

    start_rank(job.experiment.communication, job.experiment.training.mixed_precision)
    run, options = RunDirectory.at(job.run), job.experiment.data
    dataset = Dataset.open(job.dataset, job.validation_fold)
    import_function(job.experiment.model.backbone)
    model = load_model(run.model)

    plan = plan_epoch(dataset.rows_per_row_group(job.split), hvd.size(), options.batch_size)
    with rank_batches(
        dataset,
        job.split,
        [plan],
        hvd.rank(),
        input_size=model.input_shape[1],
        num_threads=options.reader_threads,
    ) as batches:
        logits = Predictor(model).predict(iter(batches), plan.num_steps, sum(plan.images))

    predictions = dataset.read_rows(job.split, PREDICTION_COLUMNS)
    predictions = predictions.assign(logit=logits, probability=probabilities_of(logits))
    evaluation = Evaluation.of_predictions(
        predictions, dataset.manifest, split=job.split, epoch=run.read_json(run.finished)["best_epoch"]
    )
    if hvd.rank() == 0:
        write_predictions(run, job.split, predictions)
        write_evaluation(run, evaluation, dataset)
    return evaluation


def write_predictions(run: RunDirectory, split: str, predictions: "pd.DataFrame") -> None:
    """Write the predictions of a split: `PREDICTION_COLUMNS`, `logit` and `probability` of cancer, a row per image."""
    parquet = io.BytesIO()
    predictions.to_parquet(parquet, index=False)
    storage.write_bytes(run.predictions(split), parquet.getvalue())


def evaluate_best_epoch(run: RunDirectory, dataset: Dataset) -> "Evaluation":
    """Evaluate the validation predictions that training left of its best epoch, and write the result.

    Runs on the driver: it needs neither the model nor TensorFlow.
    """
    import pandas as pd

    from hvdcells.scores.evaluation import Evaluation

    predictions = pd.read_parquet(io.BytesIO(storage.read_bytes(run.predictions("validation"))))
    epoch = run.read_json(run.finished)["best_epoch"]
    evaluation = Evaluation.of_predictions(predictions, dataset.manifest, split="validation", epoch=epoch)
    write_evaluation(run, evaluation, dataset)
    return evaluation


def write_evaluation(run: RunDirectory, evaluation: "Evaluation", dataset: Dataset) -> None:
    """Write the evaluation of a split, and on which dataset it was made."""
    where = {"dataset": dataset.location, "validation_fold": dataset.validation_fold}
    write_json(run.evaluation(evaluation.split), {**evaluation.to_dict(), **where})
