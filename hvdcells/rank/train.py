"""What one rank does to train. `train_on_rank` tells it from top to bottom."""

import platform
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import horovod.tensorflow as hvd
import tensorflow as tf

from hvdcells import storage
from hvdcells.data.balance import plan_training
from hvdcells.data.shard_plan import plan_epoch
from hvdcells.data.subset import open_for_training
from hvdcells.experiment.phases import phase_of, plan_phases
from hvdcells.rank.checkpoint import restore_checkpoint, save_checkpoint, state_variables
from hvdcells.rank.epoch import average_moving_statistics, train_epoch
from hvdcells.rank.frozen_features import FrozenFeatures, features_stay
from hvdcells.rank.input.batches import rank_batches
from hvdcells.rank.losses import class_weights
from hvdcells.rank.models import build_model
from hvdcells.rank.models.saved import save_model, weights_digest
from hvdcells.rank.narrator import Narrator
from hvdcells.rank.optimizer import averaged_weights
from hvdcells.rank.prediction import Predictor
from hvdcells.rank.random_layers import make_random_layers_seedable, seed_random_layers
from hvdcells.rank.start import StartUp, broadcast, start_rank
from hvdcells.rank.step_timing import StepTiming, measured_communication
from hvdcells.rank.transfer import begin_phase
from hvdcells.rank.within_epoch import StepCheckpoints, restore_of_ranks, told_to_end
from hvdcells.runs.directory import RunDirectory
from hvdcells.runs.image_range import keep_sample
from hvdcells.runs.jobs import TrainingJob
from hvdcells.runs.predictions import PREDICTION_COLUMNS, write_predictions
from hvdcells.runs.progress import monitored
from hvdcells.scores.classification import classification_scores, positive_labels
from hvdcells.scores.prediction_table import mean_log_loss, prediction_table, probabilities_of


def train_on_rank(job: TrainingJob, called: float) -> dict[str, Any]:
    """Train as one rank of the world.

    Args:
        job: what the driver hands over.
        called: `time.time()` at which this process began to import what it needs.

    Returns:
        `best_epoch` and `epochs` (done, with those before a resume), both counted from 1, `fell_behind` (whether it
        was ended early, by `job.least_scores`), `weights_digest` (SHA-256
        of this rank's last weights: the same on every rank), `start_up` (seconds by part), `host` (its
        name), `is_over` (False where it ended for more workers to go on).

    Raises:
        UserError: the dataset does not fit the experiment, or the loss is no longer finite.
        ToldToEndError: a rank got SIGTERM within an epoch; a checkpoint was written.
    """
    start_up = StartUp(job.began)
    start_up.done("process", at=called)
    start_up.done("imports")
    experiment, run = job.experiment, RunDirectory.at(job.run)
    dataset = open_for_training(job.dataset, experiment)
    settings = start_rank(experiment.communication, experiment.training)
    rank, num_ranks = hvd.rank(), hvd.size()
    start_up.done("horovod")

    # Plans: who reads what in every epoch that is left. (The last one's also where none is left.)
    progress, began_at = job.progress, (job.progress.epochs_done, job.progress.steps_done)
    num_epochs, batch_size = experiment.training.epochs, experiment.data.batch_size
    epochs = range(min(progress.epochs_done, num_epochs - 1), num_epochs)
    plans = plan_training(dataset, experiment, num_ranks, epochs, progress.parts)
    validation_plan = plan_epoch(dataset.rows_per_row_group("validation"), num_ranks, batch_size)
    validation_images = dataset.read_rows("validation", PREDICTION_COLUMNS)
    validation_labels = validation_images["label"].to_numpy()
    positive = positive_labels(dataset.manifest.class_names, dataset.manifest.positive_classes)

    # Model, optimizer and step; every rank starts from the weights of rank 0, which alone loads any: first ones, or
    # those of the checkpoint.
    manifest = dataset.manifest
    input_size = experiment.data.input_size or manifest.image_size
    channels = manifest.channel_mean, manifest.channel_std
    make_random_layers_seedable()
    loads_weights = rank == 0 and not progress.is_begun
    model = build_model(
        experiment.model,
        input_size,
        *channels,
        experiment.seed,
        num_classes=len(manifest.class_names),
        load_weights=loads_weights,
    )
    phases, weights_of_classes = plan_phases(experiment.transfer, num_epochs), class_weights(dataset, experiment)
    # The checkpoint's; after one of an epoch's end, the next epoch may begin another.
    phase = phase_of(phases, max(0, progress.epochs_done - (not progress.parts)))
    features = None  # of a frozen backbone, where they are the same in each epoch that trains the head
    if features_stay(experiment, phase_of(phases, epochs[0]), dataset, model):
        features = FrozenFeatures(model, dataset, experiment, rank, num_ranks)
    forward = None if features is None else features.head
    stamped = settings.hardware == "cpu"
    timing = StepTiming(stamped, 1 if stamped else experiment.training.read_every)
    step = begin_phase(phase, model, experiment, weights_of_classes, settings.num_groups, forward, stamped)
    of_ranks = {}
    if progress.is_begun and rank == 0:
        of_ranks = restore_checkpoint(run, model, step.optimizer, *began_at)
        # The run may have ended between checkpoint and model.
        if progress.best_epoch == progress.epochs_done and not progress.parts:
            with averaged_weights(step.optimizer, step.variables):
                save_model(model, run.model)
    broadcast(state_variables(model, step.optimizer))
    predictor = Predictor(model)
    start_up.done("model")

    options = experiment.data
    open_batches = partial(
        rank_batches,
        dataset,
        rank=rank,
        input_size=input_size,
        num_threads=options.reader_threads,
        shuffle_buffer=options.shuffle_buffer,
        cache_bytes=options.cache_bytes,
        device=None if stamped else "/GPU:0",
    )
    read = [plan for plan in plans if not (features and phase_of(phases, plan.epoch).trains == "head")] or plans[-1:]
    with (
        open_batches("train", read, seed=experiment.seed) as train_batches,
        open_batches("validation", [validation_plan] * len(read)) as validation_batches,
        Narrator(run, num_epochs, is_root=rank == 0, records=progress.records) as narrator,
        told_to_end() as told,
    ):
        checkpoints = StepCheckpoints(run, model, progress, job.checkpoint_steps, told)
        batches, batches_to_validate = iter(train_batches), iter(validation_batches)
        narrator.begin(dataset, experiment, plans[0], model.count_params(), settings, num_ranks)
        narrator.phase_begins(phase, step.variables)
        if features and not progress.is_over(experiment):
            narrator.note(features.compute(open_batches))
            start_up.done("features")
        for plan in plans:
            if progress.is_over(experiment):
                break
            if phase_of(phases, plan.epoch) is not phase:
                phase, features = phase_of(phases, plan.epoch), None
                step = begin_phase(phase, model, experiment, weights_of_classes, settings.num_groups, None, stamped)
                narrator.phase_begins(phase, step.variables)
            of_epoch = features.batches(plan) if features else batches
            if not stamped and experiment.training.measure_communication and step.num_traces == 0 and num_ranks > 1:
                first = next(of_epoch)
                of_epoch = chain([first], of_epoch)
                state = [*state_variables(model, step.optimizer), *step.accumulated]
                timing = replace(timing, communication_seconds=measured_communication(step, first, state))
                narrator.note(
                    f"exchanging gradients makes an update {timing.communication_seconds * 1e3:.1f} ms longer"
                )
            if progress.parts:
                restore_of_ranks(of_ranks, model, progress, experiment.seed)
            else:
                seed_random_layers(model, experiment.seed, plan.epoch, rank)
            checkpoints.begin(plan)
            record = train_epoch(
                step,
                of_epoch,
                plan,
                phase,
                experiment,
                rank,
                start_up,
                timing,
                loss_before=progress.loss_sum,
                is_told=lambda: told.is_told,
                after_update=partial(checkpoints.after_update, step, plan),
            )
            if job.lost_at is not None and plan is plans[0]:
                again = job.began + start_up.seconds["first_step"] - job.lost_at
                narrator.note(f"the restart took {again:.1f} s, from the loss to the first step")
            average_moving_statistics(model)
            with averaged_weights(step.optimizer, step.variables):
                if features:
                    logits = features.validation_logits()
                else:
                    num_images = sum(validation_plan.images)
                    logits = predictor.predict(batches_to_validate, validation_plan.num_steps, num_images, samples=True)
            # Every rank holds all logits, so every rank comes to the same scores and the same decisions.
            probabilities = probabilities_of(logits)
            scores = classification_scores(validation_labels, probabilities, positive)
            scores["loss"] = mean_log_loss(logits, validation_labels)
            score = monitored(scores, experiment.training.monitor)
            is_best = progress.note(score, experiment.training.select, job.least_scores)
            narrator.epoch_done(plan.epoch, record, scores, is_best)
            if is_best:
                sample = (features or predictor).gathered_sample()
            if rank == 0 and is_best:
                keep_sample(run, sample)
                predictions = prediction_table(validation_images, logits, manifest.class_names)
                write_predictions(run, "validation", predictions)
            if rank == 0:
                save_checkpoint(run, model, step.optimizer, progress)
            if rank == 0 and is_best:
                with averaged_weights(step.optimizer, step.variables):
                    save_model(model, run.model)
            if job.may_grow and not progress.is_over(experiment) and _more_workers(run, rank):
                break
    return {
        "is_over": progress.is_over(experiment),
        "best_epoch": progress.best_epoch,
        "epochs": progress.epochs_done,
        "fell_behind": progress.fell_behind,
        "weights_digest": weights_digest(model),
        "start_up": start_up.seconds,
        "host": platform.node(),
    }


def _more_workers(run: RunDirectory, rank: int) -> bool:
    """Whether the driver has slots for more ranks, as rank 0 finds and all ranks are told."""
    found = rank == 0 and storage.exists(run.more_workers)
    return bool(hvd.broadcast(tf.constant(found), root_rank=0, name="more_workers"))
