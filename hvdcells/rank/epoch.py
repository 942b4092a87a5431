"""One epoch of training on one rank: the steps, and what they cost."""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import horovod.tensorflow as hvd
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from hvdcells.data.shard_plan import EpochPlan
from hvdcells.experiment import Experiment
from hvdcells.experiment.phases import Phase
from hvdcells.rank.input.batches import Batch
from hvdcells.rank.models.either_keras import moving_statistics
from hvdcells.rank.start import StartUp
from hvdcells.rank.step import TrainingStep
from hvdcells.rank.step_timing import StepTiming, StepTotals
from hvdcells.runs import heartbeat


class StepInput(NamedTuple):
    """What a step is given beside its batch; all of it is known before the epoch."""

    seed: NDArray[np.int32]
    """Of augmentation, (2,)."""
    num_images: float
    """Images of weight one in the update, over all ranks and accumulated batches."""
    learning_rate: float
    is_update: bool
    """Whether the gradients accumulated up to this step are applied."""


def step_inputs(plan: EpochPlan, phase: Phase, experiment: Experiment, rank: int) -> list[StepInput]:
    """Return what each step of an epoch is given on this rank."""
    accumulation = experiment.training.accumulation_steps
    global_batch = experiment.data.batch_size * len(plan.images) * accumulation
    inputs = []
    for number in range(plan.num_steps):
        first = number - number % accumulation
        group = range(first, min(plan.num_steps, first + accumulation))
        entropy = np.random.SeedSequence((experiment.seed, plan.epoch, number, rank))
        rate = phase.learning_rate_at(experiment.optimizer, plan.epochs_at(number + 1), global_batch)
        inputs.append(
            StepInput(
                entropy.generate_state(2).astype(np.int32),
                float(sum(map(plan.images_in_step, group))),
                rate,
                number == group[-1],
            )
        )
    return inputs


def train_epoch(
    step: TrainingStep,
    batches: Iterator[Batch],
    plan: EpochPlan,
    phase: Phase,
    experiment: Experiment,
    rank: int,
    start_up: StartUp,
    timing: StepTiming,
    *,
    loss_before: float = 0.0,
    is_told: Callable[[], bool] = lambda: False,
    after_update: Callable[[int, float, bool], None] = lambda *_: None,
) -> dict[str, Any]:
    """Take all steps of one epoch on this rank, or what is left of them.

    Args:
        step: of the phase.
        batches: of this rank, from the plan's first step on.
        plan: of the epoch.
        phase: what is trained.
        experiment: how.
        rank: this one.
        start_up: told of the first step.
        timing: how the steps are timed, and how often they are read.
        loss_before: summed loss of the images of the epoch that were used before, over all ranks.
        is_told: whether this rank was told to end.
        after_update: called after an update, as often as steps are read, with the steps of the plan that are done,
            this rank's summed loss since the first step taken here, and whether a rank was told to end; not after
            the last step, which ends the epoch.

    Returns:
        `phase` (what it trains), `loss` (mean over all images of all ranks), `gradient_norm` and `gradient_norm_max`
        (mean and largest over the updates, before clipping), `images`, `images_per_second` (over all
        ranks, without the phase's first step, which traces), `padding`, and per rank `rank_seconds`, `input_seconds`,
        `compute_seconds`, `communication_seconds` (what the step waited for: transfer, and ranks that were slower).

    Raises:
        UserError: the loss is not finite.
    """
    totals = StepTotals(timing, plan.epoch)
    timed_images, began = 0, time.perf_counter()
    inputs = step_inputs(plan, phase, experiment, rank)
    for number, given in enumerate(inputs[plan.first_step :], plan.first_step):
        is_first = number == plan.first_step and (step.num_traces == 0 or "first_step" not in start_up.seconds)
        heartbeat.at("reading a batch", epoch=plan.epoch + 1, step=number + 1, may_be_long=is_first)
        waited = time.perf_counter()
        batch = next(batches)
        totals.input_seconds += time.perf_counter() - waited
        tensor = "gradients" if given.is_update else None
        heartbeat.at("step", epoch=plan.epoch + 1, step=number + 1, tensor=tensor, may_be_long=is_first)
        if given.is_update:
            result = step.update(batch, *map(tf.constant, given[:3]), tf.constant(float(is_told())))
        else:
            result = step.accumulate(batch, *map(tf.constant, given[:2]))
        totals.note(result, given.is_update)
        if is_first:
            totals.read()
            totals.start_clock()
            start_up.done("first_step")
            began = time.perf_counter()
        else:
            timed_images += plan.images_in_step(number)
        # On a GPU each reading waits for the device.
        if given.is_update and totals.is_read and number + 1 < plan.num_steps:
            after_update(number + 1, totals.loss, bool(result.told))
    totals.read()
    seconds = time.perf_counter() - began
    local = tf.constant([[totals.loss, seconds, *totals.split(seconds)]], tf.float64)
    heartbeat.at("end of steps", epoch=plan.epoch + 1, tensor="epoch_record")
    gathered = hvd.allgather(local, name="epoch_record").numpy()
    mean_loss = float((loss_before + gathered[:, 0].sum()) / plan.num_images)
    return {
        "phase": phase.trains,
        "loss": mean_loss,
        "learning_rate": inputs[-1].learning_rate,
        **_gradient_norms(totals.norms),
        "images": plan.num_images,
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
