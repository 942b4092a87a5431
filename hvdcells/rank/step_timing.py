"""What the steps of an epoch come to on one rank: their losses, and where their time went.

On a CPU a step is done when it returns, and notes the times of its parts inside its graph. On a GPU the graph only
queues kernels: a time noted in it tells when something was queued, and every reading of a result waits for the device.
So there the loss is read every few steps, the time of steps is that between two readings, and what the exchange costs
is measured before, by steps with and without it.
"""

import time
from dataclasses import dataclass, field
from statistics import median

import horovod.tensorflow as hvd
import numpy as np
import tensorflow as tf

from hvdcells.errors import UserError
from hvdcells.rank.input.batches import Batch
from hvdcells.rank.step import StepResult, TrainingStep
from hvdcells.runs import heartbeat

BLOCKS, STEPS_OF_A_BLOCK = 5, 10


@dataclass(frozen=True)
class StepTiming:
    """How the steps of a rank are timed."""

    stamped: bool
    """Steps note the times of their parts, and each is read as it ends."""
    read_every: int = 1
    """Steps between two readings; 1 where they are stamped."""
    communication_seconds: float = 0.0
    """Of an update, measured before, where steps are not stamped."""


@dataclass
class StepTotals:
    """The sums over an epoch's steps on one rank."""

    timing: StepTiming
    epoch: int
    loss: float = 0.0
    """Sum of the weighted losses of this rank's images."""
    norms: list[float] = field(default_factory=list)
    """Norm of the gradient of each update."""
    input_seconds: float = 0.0
    compute_seconds: float = 0.0
    communication_seconds: float = 0.0
    _unread: list[tuple[StepResult, bool]] = field(default_factory=list)

    def note(self, result: StepResult, is_update: bool) -> None:
        """Take what a step returned; read it and all noted before it, at the first update at which it is time.

        Raises:
            UserError: a loss is not finite.
        """
        self._unread.append((result, is_update))
        if len(self._unread) >= self.timing.read_every and (is_update or self.timing.read_every == 1):
            self.read()

    @property
    def is_read(self) -> bool:
        """Whether all that was noted has been read."""
        return not self._unread

    def read(self) -> None:
        """Wait for all steps noted so far, and add them up.

        Raises:
            UserError: a loss is not finite.
        """
        if not self._unread:
            return
        results, updates = [result for result, _ in self._unread], [is_update for _, is_update in self._unread]
        losses, norms = tf.stack([[r.loss for r in results], [r.gradient_norm for r in results]]).numpy()
        self._unread.clear()
        self.loss += float(losses.sum(dtype=np.float64))
        self.norms += norms[updates].tolist()
        if self.timing.stamped:
            for result in results:
                begin, gradient, reduced = result.times.numpy()
                self.compute_seconds += (gradient - begin) + (time.time() - reduced)
                self.communication_seconds += reduced - gradient
        else:
            self.communication_seconds += self.timing.communication_seconds * sum(updates)
        if not np.isfinite(self.loss):
            raise UserError(
                f"the loss is {losses[~np.isfinite(losses)][0]} in epoch {self.epoch + 1}",
                "a finite loss",
                "lower optimizer.learning_rate, lengthen optimizer.warmup_epochs or set optimizer.gradient_clip_norm",
            )

    def start_clock(self) -> None:
        """Forget the times so far."""
        self.input_seconds = self.compute_seconds = self.communication_seconds = 0.0

    def split(self, seconds: float) -> tuple[float, float, float]:
        """Return the seconds of input, compute and communication in so many seconds of steps."""
        if self.timing.stamped:
            return self.input_seconds, self.compute_seconds, self.communication_seconds
        # What was measured beside the epoch is at most what is left of it.
        communication = min(self.communication_seconds, seconds - self.input_seconds)
        return self.input_seconds, seconds - self.input_seconds - communication, communication


def measured_communication(step: TrainingStep, batch: Batch, state: list[tf.Variable]) -> float:
    """Return the seconds by which the exchange makes an update longer: the same on every rank.

    Blocks of steps with and without exchange take turns, on one batch; the median difference counts, and below zero it
    is zero. Every rank must take part.

    Args:
        step: of this rank; not run yet, or between two epochs.
        batch: any batch of its shape.
        state: all that a step changes. Afterwards it is what it was before, bit by bit.
    """
    heartbeat.at("measuring the exchange", tensor="gradients", may_be_long=True)
    kept = [tf.identity(variable) for variable in state]
    kinds = (step, step.without_exchange())
    seconds: list[list[float]] = [[], []]
    arguments = batch, tf.zeros(2, tf.int32), tf.constant(1e9), tf.constant(0.0), tf.zeros(())
    for block in range(-1, BLOCKS):  # the first traces
        for kind in (0, 1) if block % 2 else (1, 0):
            tf.convert_to_tensor(hvd.allreduce(tf.zeros(()), name="block_begins")).numpy()
            began = time.perf_counter()
            for _ in range(STEPS_OF_A_BLOCK if block >= 0 else 1):
                result = kinds[kind].update(*arguments)
            result.loss.numpy()
            if block >= 0:
                seconds[kind].append((time.perf_counter() - began) / STEPS_OF_A_BLOCK)
    for variable, value in zip(state, kept, strict=True):
        variable.assign(value)
    own = median(with_it - without for with_it, without in zip(*seconds, strict=True))
    return max(0.0, float(hvd.allreduce(tf.constant(own, tf.float64), op=hvd.Average, name="communication").numpy()))
