"""What one process of the communication benchmark does: training steps on one batch in memory, timed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hvdcells.experiment import Augmentation, Experiment, Model

BATCH_PER_RANK = 32


@dataclass(frozen=True)
class Workload:
    """One model and how many of its steps are timed."""

    name: str
    model: Model
    input_size: int
    num_steps: int
    warmup_steps: int = 5


WORKLOADS = (
    Workload("small_cnn_64", Model(backbone="small_cnn"), 64, num_steps=40),
    Workload("mobilenet_v2_96", Model(backbone="mobilenet_v2"), 96, num_steps=16),
)
QUICK_WORKLOADS = (Workload("small_cnn_64", Model(backbone="small_cnn"), 64, num_steps=2, warmup_steps=1),)
"""Of a run of seconds, which shows that everything starts; its rates mean nothing."""


def workloads(quick: bool) -> tuple[Workload, ...]:
    """Return what is measured."""
    return QUICK_WORKLOADS if quick else WORKLOADS


def images_per_second(workload: Workload, step: Callable[[], Any], ready: Callable[[], None]) -> float:
    """Return the rate of this process over the timed steps, after warm-up and once all processes are ready."""
    for _ in range(workload.warmup_steps):
        step()
    ready()
    began = time.perf_counter()
    for _ in range(workload.num_steps):
        step()
    return BATCH_PER_RANK * workload.num_steps / (time.perf_counter() - began)


def plain_step(workload: Workload, strategy: Any = None) -> Callable[[], Any]:
    """Make a step without Horovod; under a strategy, TensorFlow's own collectives reduce the gradients."""
    import tensorflow as tf
    import tf_keras

    model, images, labels = _model_and_batch(workload)
    optimizer = tf_keras.optimizers.Adam(jit_compile=False)
    optimizer.build(model.trainable_variables)

    def replica_step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = model(tf.cast(images, tf.float32), training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(labels, tf.int32), logits)
            loss = tf.reduce_sum(losses) / BATCH_PER_RANK
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    compiled = tf.function((lambda: strategy.run(replica_step)) if strategy else replica_step)
    return lambda: compiled().numpy()


def horovod_step(workload: Workload, num_groups: int, timed: bool = True) -> Callable[[], Any]:
    """Make the project's own training step, as `hvdcells train` takes it, without augmentation."""
    import horovod.tensorflow as hvd
    import tensorflow as tf

    from hvdcells.rank.optimizer import build_optimizer
    from hvdcells.rank.start import broadcast
    from hvdcells.rank.step import TrainingStep

    experiment = Experiment(model=workload.model, augmentation=Augmentation(flips=False, quarter_turns=False))
    model, images, labels = _model_and_batch(workload)
    optimizer = build_optimizer(experiment.optimizer, False, model.trainable_variables)
    step = TrainingStep(experiment, model, optimizer, (1.0, 1.0), num_groups, timed)
    broadcast(model.variables + step.optimizer.variables)
    batch = {"image": images, "label": labels, "weight": tf.ones(BATCH_PER_RANK)}
    seed, num_images, rate = tf.constant([0, 0]), tf.constant(float(BATCH_PER_RANK * hvd.size())), tf.constant(1e-3)

    return lambda: float(step.update(batch, seed, num_images, rate).loss)


def _model_and_batch(workload: Workload) -> tuple[Any, Any, Any]:
    import tensorflow as tf

    from hvdcells.rank.models import build_model

    size = workload.input_size
    model = build_model(workload.model, size, (100.0,) * 3, (50.0,) * 3, seed=0)
    rng = tf.random.Generator.from_seed(0)
    images = tf.cast(rng.uniform((BATCH_PER_RANK, size, size, 3), 0, 256, tf.int32), tf.uint8)
    labels = tf.cast(rng.uniform((BATCH_PER_RANK,)) > 0.5, tf.float32)
    return model, images, labels


def use_threads(intra_op: int, inter_op: int) -> None:
    """Give TensorFlow the same threads in every case."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(intra_op)
    tf.config.threading.set_inter_op_parallelism_threads(inter_op)


def run_independent(number: int, num_processes: int, meeting_place: str, quick: bool) -> dict[str, float]:
    """Be one of several processes that do not communicate; they only begin to measure together."""
    use_threads(1, 1)
    rates = {}
    for workload in workloads(quick):

        def ready(name: str = workload.name) -> None:
            (Path(meeting_place) / f"{name}-{number}").touch()
            while len(list(Path(meeting_place).glob(f"{name}-*"))) < num_processes:
                time.sleep(0.005)

        rates[workload.name] = images_per_second(workload, plain_step(workload), ready)
    return rates


def run_horovod_rank(quick: bool, _called: float) -> dict[str, float]:
    """Be one rank of Horovod on Spark, with the settings of `hvdcells.experiment.horovod_settings`."""
    import horovod.tensorflow as hvd
    import tensorflow as tf

    from hvdcells.experiment import Communication
    from hvdcells.rank.start import start_rank

    settings = start_rank(Communication(intra_op_threads=1, inter_op_threads=1))

    def ready() -> None:
        hvd.allreduce(tf.ones(1), name="ready")

    return {
        workload.name: images_per_second(workload, horovod_step(workload, settings.num_groups), ready)
        for workload in workloads(quick)
    }


def run_mirrored_worker(quick: bool) -> dict[str, float]:
    """Be one worker of MultiWorkerMirroredStrategy; called by spark-tensorflow-distributor in a barrier task."""
    import tensorflow as tf

    use_threads(1, 1)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    rates = {}
    for workload in workloads(quick):
        with strategy.scope():
            step = plain_step(workload, strategy)
        # The warm-up steps are synchronous, so the workers begin together.
        rates[workload.name] = images_per_second(workload, step, lambda: None)
    return rates


def cost_of_timing(quick: bool, pairs: int = 80, steps: int = 4) -> dict[str, list[float]]:
    """Return what noting the times of a step's parts costs, as a share of the step, once per pair of short runs.

    One process, one compute thread; a few steps with and a few without take turns, so noise over time cancels out.
    """
    from hvdcells.experiment import Communication
    from hvdcells.rank.start import start_rank

    start_rank(Communication(intra_op_threads=1, inter_op_threads=1))
    pairs = 2 if quick else pairs
    costs: dict[str, list[float]] = {}
    for workload in workloads(quick):
        taken = {timed: horovod_step(workload, num_groups=1, timed=timed) for timed in (True, False)}
        costs[workload.name] = []
        for number in range(-2, pairs):
            seconds = {}
            for timed in (True, False) if number % 2 else (False, True):
                began = time.perf_counter()
                for _ in range(steps):
                    taken[timed]()
                seconds[timed] = time.perf_counter() - began
            if number >= 0:
                costs[workload.name].append(seconds[True] / seconds[False] - 1)
    return costs
