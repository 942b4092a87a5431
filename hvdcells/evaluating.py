"""What one rank does to evaluate. `evaluate_on_rank` tells it from top to bottom."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hvdcells import storage
from hvdcells.dataset import Dataset
from hvdcells.experiment import Experiment
from hvdcells.ranks import import_tensorflow, start_rank
from hvdcells.run_directory import RunDirectory, write_json
from hvdcells.shard_plan import plan_epoch

if TYPE_CHECKING:
    from hvdcells.evaluation import Evaluation

PREDICTION_COLUMNS = ("image_id", "subject", "label", "source", "content_hash")


@dataclass(frozen=True)
class EvaluationJob:
    """What the driver hands to every rank."""

    dataset: str
    run: str
    split: str
    experiment: Experiment


def evaluate_on_rank(job: EvaluationJob) -> "Evaluation":
    """Predict this rank's share of a split, gather all predictions, score them; rank 0 writes the results.

    Returns:
        The evaluation, the same on every rank.
    """
    import_tensorflow()
    import horovod.tensorflow as hvd

    from hvdcells.checkpoint import load_model
    from hvdcells.evaluation import Evaluation
    from hvdcells.input_pipeline import rank_batches
    from hvdcells.models.function import import_function
    from hvdcells.prediction import Predictor, probabilities_of

    start_rank(job.experiment.communication, job.experiment.training.mixed_precision)
    dataset, run, options = Dataset.open(job.dataset), RunDirectory.at(job.run), job.experiment.data
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
    predictions["logit"] = logits
    predictions["probability"] = probabilities_of(logits)
    evaluation = Evaluation.of_predictions(
        predictions,
        split=job.split,
        epoch=run.read_json(run.finished)["best_epoch"],
        class_names=dataset.manifest.class_names,
        synthetic=dataset.manifest.synthetic,
        subjects_known=dataset.manifest.subjects_known,
    )
    if hvd.rank() == 0:
        parquet = io.BytesIO()
        predictions.to_parquet(parquet, index=False)
        storage.write_bytes(run.predictions(job.split), parquet.getvalue())
        write_json(run.evaluation(job.split), evaluation.to_dict())
    return evaluation
