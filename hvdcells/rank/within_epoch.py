"""Checkpoints within an epoch: every so many steps, and at once when a rank is told to end.

At an epoch's end all ranks hold the same. Within one, each has moving statistics and random states of its own, which
the checkpoint holds for all of them, so that as many ranks go on as if nothing had been.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import horovod.tensorflow as hvd
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from hvdcells.data.shard_plan import EpochPlan
from hvdcells.errors import ToldToEndError
from hvdcells.rank.checkpoint import save_checkpoint
from hvdcells.rank.models.either_keras import moving_statistics
from hvdcells.rank.models.keras_internals import random_generators
from hvdcells.rank.random_layers import seed_random_layers
from hvdcells.rank.step import TrainingStep
from hvdcells.runs import heartbeat
from hvdcells.runs.directory import RunDirectory
from hvdcells.runs.progress import Progress

STATISTICS, RANDOM = "moving statistics", "random states"


class ToldToEnd:
    """Whether this rank was told to end: SIGTERM, from a machine that is taken away, YARN or the driver."""

    def __init__(self) -> None:
        self.is_told = False

    def note(self, *_: object) -> None:
        """Take the signal; the next update tells the other ranks."""
        self.is_told = True


@contextmanager
def told_to_end() -> Iterator[ToldToEnd]:
    """Inside the block, SIGTERM lets this rank keep its work before it ends; only in a process that is a rank's own."""
    told = ToldToEnd()
    if "HOROVOD_RANK" not in os.environ or threading.current_thread() is not threading.main_thread():
        yield told
        return
    before = signal.signal(signal.SIGTERM, told.note)
    try:
        yield told
    finally:
        signal.signal(signal.SIGTERM, before)


class StepCheckpoints:
    """Writes the checkpoints within epochs.

    Args:
        run: of the run.
        model: of this rank.
        progress: how far the run has come; takes the parts of the epoch under way.
        every: steps after which one is written; 0 for none but when a rank is told to end.
        told: of this rank.
    """

    def __init__(self, run: RunDirectory, model: Any, progress: Progress, every: int, told: ToldToEnd) -> None:
        self.run, self.model, self.progress, self.every, self.told = run, model, progress, every, told
        self._parts, self._loss_before = progress.parts, progress.loss_sum
        self._written = 0

    def begin(self, plan: EpochPlan) -> None:
        """Note the epoch that follows, and what was done of it before by other plans than its own."""
        self._parts, self._loss_before = self.progress.parts, self.progress.loss_sum
        if plan.first_step:
            self._parts = self._parts[:-1]
        self._written = plan.first_step

    def after_update(self, step: TrainingStep, plan: EpochPlan, steps: int, loss: float, is_told: bool) -> None:
        """Write a checkpoint where one is due.

        Args:
            step: of the phase.
            plan: of the epoch.
            steps: of the plan, that are done.
            loss: summed on this rank since the epoch began or went on here.
            is_told: whether any rank was told to end.

        Raises:
            ToldToEndError: one was, and its work is kept.
        """
        if not is_told and not (self.every and steps - self._written >= self.every):
            return
        self._written = steps
        heartbeat.at("gathering a checkpoint", epoch=plan.epoch + 1, step=steps, tensor="checkpoint")
        own = tf.constant([[loss, self.told.is_told]], tf.float64)
        gathered = hvd.allgather(own, name="checkpoint").numpy()
        of_ranks = gather_of_ranks(self.model)
        self.progress.parts = (*self._parts, (hvd.size(), steps))
        self.progress.loss_sum = self._loss_before + float(gathered[:, 0].sum())
        if hvd.rank() == 0:
            save_checkpoint(self.run, self.model, step.optimizer, self.progress, of_ranks)
        if is_told:
            # Whoever ends first takes the others along: not before what rank 0 writes is whole.
            hvd.allgather(own, name="checkpoint_written")
            ranks = ", ".join(map(str, np.flatnonzero(gathered[:, 1])))
            raise ToldToEndError(
                f"rank {ranks} was told to end (SIGTERM); a checkpoint was written after step {steps} of epoch "
                f"{plan.epoch + 1}"
            )


def gather_of_ranks(model: Any) -> dict[str, NDArray[Any]]:
    """Return what each rank holds for itself, on every rank: arrays (ranks, values) by name."""
    statistics = [tf.reshape(v, [-1]) for v in moving_statistics(model)]
    states = [tf.reshape(generator.state, [-1]) for generator in random_generators(model)]
    found = {STATISTICS: statistics, RANDOM: states}
    return {
        name: hvd.allgather(tf.concat(values, 0)[None], name=name.replace(" ", "_")).numpy()
        for name, values in found.items()
        if values
    }


def restore_of_ranks(of_ranks: dict[str, NDArray[Any]], model: Any, progress: Progress, seed: int) -> None:
    """Give this rank back what it held, where there are as many ranks as then; else what fits any number.

    Moving statistics become their mean over the ranks, as at the end of an epoch, and random layers are seeded anew.

    Args:
        of_ranks: of the checkpoint, on rank 0; all ranks call this.
        model: of this rank.
        progress: of the checkpoint.
        seed: of the experiment.
    """
    of_ranks = hvd.broadcast_object(of_ranks, root_rank=0, name="of_ranks")
    is_same = progress.parts[-1][0] == hvd.size()
    if STATISTICS in of_ranks:
        values = of_ranks[STATISTICS]
        _assign(moving_statistics(model), values[hvd.rank()] if is_same else values.mean(axis=0))
    if not is_same:
        seed_random_layers(model, seed, progress.epochs_done, hvd.rank(), progress.steps_done)
    elif RANDOM in of_ranks:
        _assign([generator.state for generator in random_generators(model)], of_ranks[RANDOM][hvd.rank()])


def _assign(variables: list[tf.Variable], values: NDArray[Any]) -> None:
    ends = np.cumsum([variable.shape.num_elements() for variable in variables])
    for variable, part in zip(variables, np.split(values, ends[:-1]), strict=True):
        variable.assign(part.reshape(variable.shape))
