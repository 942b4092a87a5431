"""What the tests of ranks run on every rank; importable there, so no test code is pickled."""

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import horovod.tensorflow as hvd
import numpy as np
import tensorflow as tf

from hvdcells.data.dataset import Dataset
from hvdcells.data.shard_plan import plan_epoch
from hvdcells.errors import UserError
from hvdcells.experiment import Augmentation, Communication, Experiment, Model, Optimizer
from hvdcells.rank.checkpoint import state_variables
from hvdcells.rank.input.batches import rank_batches
from hvdcells.rank.models import build_model
from hvdcells.rank.models.either_keras import raw_variables
from hvdcells.rank.optimizer import build_optimizer
from hvdcells.rank.prediction import Predictor
from hvdcells.rank.start import start_rank
from hvdcells.rank.step import TrainingStep
from hvdcells.rank.step_timing import measured_communication
from hvdcells.runs import heartbeat

SIZE, GLOBAL_BATCH = 24, 16


@dataclass(frozen=True)
class Updates:
    """Some updates on fixed images, dealt out evenly to the ranks."""

    changes: dict[str, Any] = field(default_factory=dict)
    num_updates: int = 3
    real_images: int = GLOBAL_BATCH
    """Images of weight one; the rest of the global batch is padding."""
    num_groups: int = 1
    """In which Horovod reduces the gradients."""
    num_classes: int = 2
    measured_before: bool = False
    """What the exchange costs is measured before the first update."""


def plain_experiment(changes: dict[str, Any]) -> Experiment:
    """Nothing random and nothing that depends on one rank's batch alone."""
    return Experiment(
        model=Model(normalization="none", dropout=0.0, width=0.25),
        augmentation=Augmentation(flips=False, quarter_turns=False),
        optimizer=Optimizer(name="sgd", learning_rate=1.0),
    ).override(changes)


def weights_after_updates(job: Updates) -> dict[str, Any]:
    """Take the updates; return this rank's weights before and after, as flat vectors."""
    experiment = plain_experiment(job.changes)
    start_rank(experiment.communication, experiment.training)
    # Other first weights on every rank: the broadcast has something to do.
    classes = job.num_classes
    model = build_model(experiment.model, SIZE, (100.0,) * 3, (50.0,) * 3, seed=hvd.rank(), num_classes=classes)
    optimizer = build_optimizer(
        experiment.optimizer, experiment.training.scales_loss, raw_variables(model.trainable_variables)
    )
    step = TrainingStep(experiment, model, optimizer, np.linspace(1.5, 0.75, classes).tolist(), job.num_groups)
    hvd.broadcast_variables(raw_variables(model.variables) + step.optimizer.variables, root_rank=0)
    before = np.concatenate([weight.ravel() for weight in model.get_weights()])

    accumulation = experiment.training.accumulation_steps
    batch_size = GLOBAL_BATCH // hvd.size() // accumulation
    communication_seconds = None
    if job.measured_before:
        images = np.random.default_rng(hvd.rank()).integers(0, 256, (batch_size, SIZE, SIZE, 3), dtype=np.uint8)
        any_batch = {"image": tf.constant(images), "label": tf.zeros(batch_size), "weight": tf.ones(batch_size)}
        communication_seconds = measured_communication(step, any_batch, state_variables(model, optimizer))
    rng = np.random.default_rng(0)
    losses = []
    for _ in range(job.num_updates):
        images = rng.integers(0, 256, (GLOBAL_BATCH, SIZE, SIZE, 3), dtype=np.uint8)
        # By brightness, as many of each class.
        brightness = images.mean((1, 2, 3)).argsort().argsort()
        labels = (brightness * classes // GLOBAL_BATCH).astype(np.float32)
        weights = (np.arange(GLOBAL_BATCH) < job.real_images).astype(np.float32)
        for part in range(accumulation):
            first = (hvd.rank() * accumulation + part) * batch_size
            mine = slice(first, first + batch_size)
            batch = {
                "image": tf.constant(images[mine]),
                "label": tf.constant(labels[mine]),
                "weight": tf.constant(weights[mine]),
            }
            arguments = (batch, tf.constant([0, 0]), tf.constant(float(job.real_images)))
            is_update = part == accumulation - 1
            result = step.update(*arguments, tf.constant(0.05)) if is_update else step.accumulate(*arguments)
        losses.append(float(result.loss))
    after = np.concatenate([weight.ravel() for weight in model.get_weights()])
    policies = [os.sched_getscheduler(int(thread.name)) for thread in Path("/proc/self/task").iterdir()]
    return {
        "times": [*result.times.numpy(), time.time()],
        "communication_seconds": communication_seconds,
        "num_idle_threads": policies.count(os.SCHED_IDLE),
        "before": before,
        "after": after,
        "losses": losses,
        "rank": hvd.rank(),
        "compute": model.layers[2].layers[1].compute_dtype,
    }


def validation_logits(location: str) -> dict[str, Any]:
    """Predict the validation split with fixed weights; return all logits and the rows this rank predicted."""
    start_rank(Communication())
    dataset = Dataset.open(location)
    model = build_model(Model(width=0.25), SIZE, (100.0,) * 3, (50.0,) * 3, seed=5)
    plan = plan_epoch(dataset.rows_per_row_group("validation"), hvd.size(), 4)
    with rank_batches(dataset, "validation", [plan], hvd.rank(), input_size=SIZE, num_threads=2) as batches:
        seen = list(batches)
        logits = Predictor(model).predict(iter(seen), plan.num_steps, sum(plan.images))
    rows = np.concatenate([batch["row"].numpy() for batch in seen])
    return {"logits": logits, "rows": rows[rows >= 0].tolist(), "steps": len(seen)}


def all_checks(argument: tuple[list[Updates], str], _called: float) -> tuple[list[dict], dict]:
    """Run several checks in one start of the ranks, which costs seconds."""
    updates, location = argument
    return [weights_after_updates(job) for job in updates], validation_logits(location)


def fail_on_rank_1(how: str, _called: float) -> str:
    """Rank 1 fails; rank 0 waits for it in an allreduce, as in training."""
    hvd.init()
    if hvd.rank() == 1:
        if how == "user error":
            raise UserError("a damaged file", "a whole file", "write it again")
        if how == "exception":
            raise ValueError("broken on purpose")
        os.kill(os.getpid(), signal.SIGKILL)
    hvd.allreduce(tf.ones(1), name="waits")
    return "reached"


def stand_still_on_rank_1(how: str, _called: float) -> None:
    """Rank 1 stops, or loops for ever, at its second step; rank 0 waits for it in an allreduce, as in training."""
    hvd.init()
    for step in (1, 2):
        heartbeat.at("reading a batch", epoch=3, step=step)
        if hvd.rank() == 1 and step == 2:
            if how == "stopped":
                os.kill(os.getpid(), signal.SIGSTOP)
            while True:
                time.sleep(0.01)
        heartbeat.at("step", epoch=3, step=step, tensor="gradients")
        hvd.allreduce(tf.ones(1), name=f"gradients_{step}")


def fail_before_horovod_starts(_: None, _called: float) -> None:
    """Rank 1 fails while rank 0 waits for it to come; without help it waits for gloo's time limit."""
    if os.environ["HOROVOD_RANK"] == "1":
        raise ValueError("broken before the first exchange")
    hvd.init()
