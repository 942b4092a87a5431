"""One epoch of training on one rank: the steps, and what they cost."""

import time
from collections.abc import Iterator
from typing import Any

import horovod.tensorflow as hvd
import numpy as np
import tensorflow as tf

from hvdcells.data.shard_plan import EpochPlan
from hvdcells.errors import UserError
from hvdcells.experiment import Experiment
from hvdcells.experiment.phases import Phase
from hvdcells.rank.input.batches import Batch
from hvdcells.rank.models.either_keras import moving_statistics
from hvdcells.rank.start import StartUp
from hvdcells.rank.step import TrainingStep
from hvdcells.runs import heartbeat


def train_epoch(
    step: TrainingStep,
    batches: Iterator[Batch],
    plan: EpochPlan,
    phase: Phase,
    experiment: Experiment,
    rank: int,
    start_up: StartUp,
) -> dict[str, Any]:
    """Take all steps of one epoch on this rank.

    Returns:
        `phase` (what it trains), `loss` (mean over all images of all ranks), `gradient_norm` and `gradient_norm_max`
        (mean and largest over the updates, before clipping), `images`, `images_per_second` (over all
        ranks, without the phase's first step, which traces), `padding`, and per rank `rank_seconds`, `input_seconds`,
        `compute_seconds`, `communication_seconds` (what the step waited for: transfer, and ranks that were slower).

    Raises:
        UserError: the loss is not finite.
    """
    epoch, accumulation = plan.epoch, experiment.training.accumulation_steps
    num_ranks = len(plan.images)
    global_batch = experiment.data.batch_size * num_ranks * accumulation
    norms: list[float] = []
    loss = input_seconds = compute_seconds = communication_seconds = 0.0
    timed_images, began = 0, time.perf_counter()
    for number in range(plan.num_steps):
        is_first = number == 0 and step.num_traces == 0
        heartbeat.at("reading a batch", epoch=epoch + 1, step=number + 1, may_be_long=is_first)
        waited = time.perf_counter()
        batch = next(batches)
        input_seconds += time.perf_counter() - waited
        # Steps whose gradients go into one update, and the images of all of them over all ranks.
        first = number - number % accumulation
        group = range(first, min(plan.num_steps, first + accumulation))
        num_images = tf.constant(sum(map(plan.images_in_step, group)), tf.float32)
        seed = np.random.SeedSequence((experiment.seed, epoch, number, rank)).generate_state(2).astype(np.int32)
        if number == group[-1]:
            progress = epoch + (number + 1) / plan.num_steps
            rate = phase.learning_rate_at(experiment.optimizer, progress, global_batch)
            heartbeat.at("step", epoch=epoch + 1, step=number + 1, tensor="gradients", may_be_long=is_first)
            result = step.update(batch, tf.constant(seed), num_images, tf.constant(rate, tf.float32))
            norms.append(float(result.gradient_norm))
        else:
            heartbeat.at("step", epoch=epoch + 1, step=number + 1, may_be_long=is_first)
            result = step.accumulate(batch, tf.constant(seed), num_images)
        loss += float(result.loss)
        begin, gradient, reduced = result.times.numpy()
        end = time.time()
        compute_seconds += (gradient - begin) + (end - reduced)
        communication_seconds += reduced - gradient
        if is_first:
            start_up.done("first_step")
            began, input_seconds, compute_seconds, communication_seconds = time.perf_counter(), 0.0, 0.0, 0.0
        else:
            timed_images += plan.images_in_step(number)
    seconds = time.perf_counter() - began
    local = tf.constant([[loss, seconds, input_seconds, compute_seconds, communication_seconds]], tf.float64)
    heartbeat.at("end of steps", epoch=epoch + 1, tensor="epoch_record")
    gathered = hvd.allgather(local, name="epoch_record").numpy()
    mean_loss = float(gathered[:, 0].sum() / sum(plan.images))
    if not np.isfinite(mean_loss):
        raise UserError(
            f"the loss is {mean_loss} in epoch {epoch + 1}",
            "a finite loss",
            "lower optimizer.learning_rate, lengthen optimizer.warmup_epochs or set optimizer.gradient_clip_norm",
        )
    return {
        "phase": phase.trains,
        "loss": mean_loss,
        "learning_rate": rate,
        **_gradient_norms(norms),
        "images": sum(plan.images),
        "padding": plan.padding,
        "steps": plan.num_steps,
        "seconds": float(gathered[:, 1].max()),
        # A rank that has written a checkpoint begins later than the others, who count their wait for it.
        "rank_seconds": gathered[:, 1].tolist(),
        "images_per_second": timed_images / float(gathered[:, 1].max()) if timed_images else None,
        "input_seconds": gathered[:, 2].tolist(),
        "compute_seconds": gathered[:, 3].tolist(),
        "communication_seconds": gathered[:, 4].tolist(),
    }


def _gradient_norms(norms: list[float]) -> dict[str, float | None]:
    """Return mean and largest of the finite norms: a gradient that overflowed float16 made no update."""
    finite = [norm for norm in norms if np.isfinite(norm)]
    return {
        "gradient_norm": float(np.mean(finite)) if finite else None,
        "gradient_norm_max": max(finite, default=None),
    }


def average_moving_statistics(model: Any) -> None:
    """Average the moving statistics of batch normalisation over the ranks, so that all hold the same weights."""
    statistics = moving_statistics(model)
    if statistics and hvd.size() > 1:
        heartbeat.at("end of steps", tensor="moving_statistics")
        averages = hvd.grouped_allreduce([v.read_value() for v in statistics], op=hvd.Average, name="moving_statistics")
        for variable, average in zip(statistics, averages, strict=True):
            variable.assign(average)
