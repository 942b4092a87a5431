"""The learning-rate finder: one short run with a rising rate, in this process (Smith 2017, arXiv 1506.01186)."""

import math
from dataclasses import dataclass

import numpy as np

from hvdcells.data.dataset import Dataset
from hvdcells.data.shard_plan import plan_epoch
from hvdcells.errors import UserError
from hvdcells.experiment import Experiment
from hvdcells.experiment.learning_rate import scaled_learning_rate
from hvdcells.experiment.phases import plan_phases
from hvdcells.runs.first_weights import settle_model
from hvdcells.spark.backends.entry import import_tensorflow

SMOOTHING = 0.95
"""Share of the past in the moving average of the loss."""
DIVERGED = 4.0
"""The run ends when the averaged loss is so many times its lowest value."""


@dataclass(frozen=True)
class RateCurve:
    """Averaged training loss by learning rate; rates are for a global batch of 256, as in an experiment."""

    learning_rates: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def suggested(self) -> float:
        """A tenth of the rate with the lowest loss: still rising fast, and far from where the loss turns."""
        return self.learning_rates[int(np.argmin(self.losses))] / 10


def find_rate(
    dataset: Dataset,
    experiment: Experiment,
    *,
    num_steps: int = 100,
    lowest: float = 1e-5,
    highest: float = 1.0,
) -> RateCurve:
    """Train for some steps with rates that rise geometrically, and note the loss. Nothing is written.

    Args:
        dataset: its training split is used, with the experiment's batch size and one rank.
        experiment: model, optimizer, augmentation and loss; the last phase's weights are trained.
        num_steps: steps at most.
        lowest: first learning rate.
        highest: last learning rate.

    Raises:
        UserError: the experiment's model cannot be had, or the rates are not in order.
    """
    if not 0 < lowest < highest or num_steps < 2:
        raise UserError(
            f"rates from {lowest:g} to {highest:g} in {num_steps} steps",
            "a rate above zero, a higher one, and at least 2 steps",
            "correct the rates or the steps",
        )
    experiment = settle_model(experiment).override({"training.accumulation_steps": 1})
    import_tensorflow()
    import tensorflow as tf

    from hvdcells.rank.input.batches import rank_batches
    from hvdcells.rank.losses import class_weights
    from hvdcells.rank.models import build_model
    from hvdcells.rank.start import start_rank
    from hvdcells.rank.transfer import begin_phase

    settings = start_rank(experiment.communication, experiment.training)
    manifest, options = dataset.manifest, experiment.data
    input_size = options.input_size or manifest.image_size
    model = build_model(
        experiment.model,
        input_size,
        manifest.channel_mean,
        manifest.channel_std,
        experiment.seed,
        num_classes=len(manifest.class_names),
    )
    phase = plan_phases(experiment.transfer, experiment.training.epochs)[-1]
    step = begin_phase(phase, model, experiment, class_weights(dataset, experiment), settings.num_groups)
    rows = dataset.rows_per_row_group("train")
    steps_per_epoch = plan_epoch(rows, 1, options.batch_size).num_steps
    epochs = range(math.ceil(num_steps / steps_per_epoch))
    plans = [plan_epoch(rows, 1, options.batch_size, seed=experiment.seed, epoch=epoch) for epoch in epochs]

    rates, losses, average = [], [], 0.0
    with rank_batches(
        dataset,
        "train",
        plans,
        0,
        input_size=input_size,
        num_threads=options.reader_threads,
        shuffle_buffer=options.shuffle_buffer,
        seed=experiment.seed,
        cache_bytes=options.cache_bytes,
    ) as batches:
        for number, batch in enumerate(batches.take(num_steps)):
            rate = lowest * (highest / lowest) ** (number / (num_steps - 1))
            num_images = tf.reduce_sum(batch["weight"])
            seed = tf.constant([experiment.seed, number])
            scaled = tf.constant(scaled_learning_rate(rate, options.batch_size), tf.float32)
            loss = float(step.update(batch, seed, num_images, scaled).loss / num_images)
            average = SMOOTHING * average + (1 - SMOOTHING) * loss
            if not np.isfinite(loss):
                break
            rates.append(rate)
            losses.append(average / (1 - SMOOTHING ** (number + 1)))
            if losses[-1] > DIVERGED * min(losses):
                break
    return RateCurve(tuple(rates), tuple(losses))
