"""What one rank does for the scaling benchmark: the steps of `hvdcells train`, in short blocks, timed.

Blocks of steps with communication and, where there are several ranks, of the same steps without take turns in the
same processes on the same input, so that noise over time strikes both alike. All blocks are taken by
`hvdcells.rank.epoch.train_epoch`, at a small learning rate: without communication the ranks' weights drift apart.
"""

import os
import platform
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

from hvdcells.data.shard_plan import EpochPlan, plan_epoch
from hvdcells.data.subset import open_for_training
from hvdcells.experiment import Experiment
from hvdcells.experiment.phases import Phase

SMALL_RATE = 1e-3
"""Of the experiment's learning rate; a step costs the same at every rate."""


@dataclass(frozen=True)
class RankJob:
    """What every rank is handed."""

    experiment: Experiment
    dataset: str | None
    """Where images are read from; None for one batch in memory."""
    began: float
    """`time.time()` at which the command began."""
    steps: int
    """Of a block."""
    blocks: int
    """With communication; as many are taken without."""
    warmup_steps: int


def measure_on_rank(job: RankJob, called: float) -> dict[str, Any]:
    """Take the blocks as one rank of the world.

    Its imports stand here: where it comes from the driver as it is, those at the top of the module come with it,
    before anything is timed.

    Returns:
        `blocks` and `independent_blocks` (of each: this rank's `seconds`, `input_seconds`, `compute_seconds`,
        `communication_seconds`, `images` of weight one over all ranks; the second is empty for one rank), and what
        this rank is: `host`, `machine` (its kernel's boot), `cores`, `threads`, `device`, `peak_memory_bytes`,
        `gradient_bytes`, `num_gradient_tensors`, `horovod`, `start_up`.

    Raises:
        UserError: the dataset does not fit the experiment.
    """
    import horovod.tensorflow as hvd
    import tensorflow as tf

    from hvdcells.data.dataset import Dataset
    from hvdcells.rank.checkpoint import state_variables
    from hvdcells.rank.epoch import train_epoch
    from hvdcells.rank.models import build_model
    from hvdcells.rank.start import StartUp, broadcast, start_rank
    from hvdcells.rank.step_timing import StepTiming
    from hvdcells.rank.transfer import begin_phase

    start_up = StartUp(job.began)
    start_up.done("process", at=called)
    start_up.done("imports")
    experiment = job.experiment
    settings = start_rank(experiment.communication, experiment.training)
    rank, num_ranks = hvd.rank(), hvd.size()
    start_up.done("horovod")
    phase = Phase("all", 0, experiment.training.epochs, SMALL_RATE)
    input_size, channels = input_size_of(experiment), ((100.0,) * 3, (50.0,) * 3)
    num_classes = 2 if job.dataset is None else len(Dataset.open(job.dataset).manifest.class_names)
    model = build_model(
        experiment.model, input_size, *channels, experiment.seed, num_classes=num_classes, load_weights=rank == 0
    )
    stamped = settings.hardware == "cpu"
    timing = StepTiming(stamped, 1 if stamped else job.steps)
    step = begin_phase(phase, model, experiment, (1.0,) * num_classes, settings.num_groups, None, stamped)
    broadcast(state_variables(model, step.optimizer))
    start_up.done("model")
    steps = [step]
    if num_ranks > 1:
        steps.append(step.without_exchange())
    num_steps = [job.warmup_steps, *[job.steps] * job.blocks]
    measured: list[list[dict[str, Any]]] = [[] for _ in steps]
    with _batches(job, rank, num_ranks, sum(num_steps) * len(steps)) as (batches, images_in_steps):
        for number, length in enumerate(num_steps):
            # Each pair of blocks begins with the other kind.
            for kind in range(len(steps)) if number % 2 else reversed(range(len(steps))):
                # Ranks leave a block together: its record is gathered over all of them.
                plan = EpochPlan((), (length * experiment.data.batch_size,) * num_ranks, experiment.data.batch_size)
                record = train_epoch(steps[kind], batches, plan, phase, experiment, rank, start_up, timing)
                images = sum(next(images_in_steps) for _ in range(length))
                if number:  # the first is the warm-up
                    measured[kind].append(_of_this_rank(record, rank) | {"images": images})
    gradients = [v.shape.num_elements() * v.dtype.size for v in step.variables]
    return {
        "blocks": measured[0],
        "independent_blocks": measured[1] if num_ranks > 1 else [],
        "host": platform.node(),
        "machine": _machine(),
        "cores": sorted(os.sched_getaffinity(0)),
        "threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "device": "gpu" if tf.config.get_visible_devices("GPU") else "cpu",
        # Memory that a rank has from its rank server counts to it too.
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "gradient_bytes": sum(gradients),
        "num_gradient_tensors": len(gradients),
        "horovod": vars(settings),
        "start_up": start_up.seconds,
    }


@contextmanager
def _batches(job: RankJob, rank: int, num_ranks: int, num_steps: int) -> Iterator[tuple[Iterator, Iterator[int]]]:
    """Open so many batches of this rank; beside them, for each step, the images of weight one over all ranks."""
    import tensorflow as tf

    from hvdcells.rank.input.batches import rank_batches

    experiment, data = job.experiment, job.experiment.data
    size, batch_size = input_size_of(experiment), data.batch_size
    if job.dataset is None:
        random = tf.random.Generator.from_seed(rank)
        batch = {
            "image": tf.cast(random.uniform((batch_size, size, size, 3), 0, 256, tf.int32), tf.uint8),
            "label": tf.cast(random.uniform((batch_size,)) > 0.5, tf.float32),
            "weight": tf.ones(batch_size),
            "row": tf.range(batch_size, dtype=tf.int64),
        }
        yield repeat(batch), repeat(batch_size * num_ranks)
        return
    dataset = open_for_training(job.dataset, experiment)
    rows, planned = dataset.rows_per_row_group("train"), 0
    plans: list[EpochPlan] = []
    while planned < num_steps:
        plans.append(plan_epoch(rows, num_ranks, batch_size, seed=experiment.seed, epoch=len(plans)))
        planned += plans[-1].num_steps
    images_in_steps = (plan.images_in_step(number) for plan in plans for number in range(plan.num_steps))
    with rank_batches(
        dataset,
        "train",
        plans,
        rank,
        input_size=size,
        num_threads=data.reader_threads,
        shuffle_buffer=data.shuffle_buffer,
        seed=experiment.seed,
        cache_bytes=data.cache_bytes,
    ) as batches:
        yield iter(batches), images_in_steps


def _of_this_rank(record: dict[str, Any], rank: int) -> dict[str, float]:
    parts = ("input_seconds", "compute_seconds", "communication_seconds")
    return {"seconds": record["rank_seconds"][rank], **{part: record[part][rank] for part in parts}}


def _machine() -> str:
    """Return what hosts that are namespaces or containers of one machine have in common."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return boot.read_text().strip() if boot.exists() else platform.node()


def input_size_of(experiment: Experiment) -> int:
    """Return the side of the images, which the plan of a point always sets."""
    if experiment.data.input_size is None:
        raise RuntimeError("a point was planned without data.input_size")
    return experiment.data.input_size
