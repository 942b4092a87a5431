"""What one rank does to evaluate. `evaluate_on_rank` tells it from top to bottom."""

import horovod.tensorflow as hvd

from hvdcells.data.dataset import Dataset
from hvdcells.data.shard_plan import plan_epoch
from hvdcells.rank.explain import explain
from hvdcells.rank.input.batches import rank_batches
from hvdcells.rank.models.averaged import load_models
from hvdcells.rank.prediction import Predictor
from hvdcells.rank.start import start_rank
from hvdcells.runs import heartbeat
from hvdcells.runs.directory import RunDirectory
from hvdcells.runs.explanations import write_explanations
from hvdcells.runs.jobs import EvaluationJob
from hvdcells.runs.predictions import PREDICTION_COLUMNS, write_evaluation, write_predictions
from hvdcells.scores.evaluation import Evaluation
from hvdcells.scores.prediction_table import prediction_table


def evaluate_on_rank(job: EvaluationJob, _called: float) -> Evaluation:
    """Predict this rank's share of a split, gather all predictions, score them; rank 0 writes the results.

    Returns:
        The evaluation, the same on every rank.
    """
    start_rank(job.experiment.communication, job.experiment.training)
    run, options = RunDirectory.at(job.run), job.experiment.data
    dataset = Dataset.open(job.dataset.location, job.dataset.validation_fold)
    models = load_models(job.experiment.model, run)

    plan = plan_epoch(dataset.rows_per_row_group(job.split), hvd.size(), options.batch_size)
    with rank_batches(
        dataset,
        job.split,
        [plan],
        hvd.rank(),
        input_size=models[0].input_shape[1],
        num_threads=options.reader_threads,
    ) as batches:
        logits = Predictor(*models, num_views=job.num_views).predict(iter(batches), plan.num_steps, sum(plan.images))

    predictions = dataset.read_rows(job.split, PREDICTION_COLUMNS)
    predictions = prediction_table(predictions, logits, dataset.manifest.class_names)
    evaluation = Evaluation.of_predictions(
        predictions,
        dataset.manifest,
        job.dataset,
        split=job.split,
        epoch=run.read_json(run.finished)["best_epoch"],
        positive_classes=job.positive_classes,
        num_views=job.num_views,
    )
    if hvd.rank() == 0:
        write_predictions(run, evaluation.name, predictions)
        write_evaluation(run, evaluation)
        if job.explains:
            heartbeat.at("explaining images", may_be_long=True)
            write_explanations(run, evaluation.name, explain(models, predictions, dataset, job.split))
    return evaluation
