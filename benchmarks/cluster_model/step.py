"""How long one training step takes on a cluster: computing, reducing beside it, and waiting for the slowest rank."""

from collections.abc import Callable
from dataclasses import dataclass

from scipy.special import ndtri

from benchmarks.cluster_model.cluster import Cluster
from benchmarks.cluster_model.gradients import Gradients


@dataclass(frozen=True)
class Fusion:
    """How Horovod packs gradients and when it looks for them."""

    buffer_bytes: float = 64 * 2**20
    """`HOROVOD_FUSION_THRESHOLD`. A gradient that is larger travels alone."""
    cycle_seconds: float = 0.001
    """`HOROVOD_CYCLE_TIME`: pause between two looks."""
    overlap: bool = True
    """Reduce beside back-propagation. False: all gradients in one group once it is over, this project's way on CPU."""


@dataclass(frozen=True)
class Workload:
    """What one GPU does in a step."""

    gradients: Gradients
    batch_size_per_gpu: int
    images_per_second: float
    """Of one GPU that trains alone."""
    jitter: float = 0.0
    """Standard deviation of a rank's compute time from rank to rank and step to step, relative to it."""
    input_images_per_second: float | None = None
    """What the input pipeline of one rank can deliver beside training; None: enough."""

    @property
    def compute_seconds(self) -> float:
        """Of a step of one GPU that trains alone."""
        return self.batch_size_per_gpu / self.images_per_second


@dataclass(frozen=True)
class Prediction:
    """One step on a cluster."""

    num_gpus: int
    step_seconds: float
    images_per_second: float
    efficiency: float
    """Against as many GPUs that each train alone, fed by the same input pipeline."""
    waiting_seconds: float
    """For the slowest rank."""
    exposed_seconds: float
    """Of communication that goes on when back-propagation is over."""
    input_seconds: float
    """For images, when the input pipeline is slower than all the rest."""


def predict(workload: Workload, cluster: Cluster, fusion: Fusion) -> Prediction:
    """Predict a step: all ranks compute, the slowest of them decides, and the next batch is read meanwhile."""
    waiting = workload.compute_seconds * workload.jitter * expected_maximum(cluster.num_gpus)
    compute = workload.compute_seconds + waiting
    busy = compute
    if cluster.num_gpus > 1:
        busy = max(busy, reduced_seconds(workload.gradients.ready(compute), cluster.allreduce_seconds, fusion))
    reading = workload.batch_size_per_gpu / workload.input_images_per_second if workload.input_images_per_second else 0
    step = max(busy, reading)
    images = cluster.num_gpus * workload.batch_size_per_gpu
    return Prediction(
        num_gpus=cluster.num_gpus,
        step_seconds=step,
        images_per_second=images / step,
        efficiency=max(workload.compute_seconds, reading) / step,
        waiting_seconds=waiting,
        exposed_seconds=busy - compute,
        input_seconds=step - busy,
    )


def reduced_seconds(
    ready: list[tuple[float, float]], allreduce_seconds: Callable[[float], float], fusion: Fusion
) -> float:
    """Return when the last gradient is reduced, in seconds since the step began.

    Horovod looks, packs what is ready into buffers in that order, reduces them one after the other, and looks again
    when they are through, at the earliest a cycle later.

    Args:
        ready: (seconds, bytes) of each gradient, earliest first.
        allreduce_seconds: time of an allreduce of so many bytes.
        fusion: how gradients are packed.
    """
    if not fusion.overlap:
        ready = [(ready[-1][0], num_bytes) for _, num_bytes in ready]
    now, position = 0.0, 0
    while position < len(ready):
        look = max(now, ready[position][0])
        sizes = []
        while position < len(ready) and ready[position][0] <= look:
            sizes.append(ready[position][1])
            position += 1
        reduced = look + sum(allreduce_seconds(size) for size in packed(sizes, fusion.buffer_bytes))
        now = max(reduced, look + fusion.cycle_seconds)
    return reduced


def packed(sizes: list[float], buffer_bytes: float) -> list[float]:
    """Pack gradients into buffers in order; return the bytes of each buffer."""
    buffers: list[float] = []
    for size in sizes:
        if buffers and buffers[-1] + size <= buffer_bytes:
            buffers[-1] += size
        else:
            buffers.append(size)
    return buffers


def expected_maximum(num_ranks: int) -> float:
    """Return the expected largest of so many standard normal numbers, by Blom's approximation."""
    return float(ndtri((num_ranks - 0.375) / (num_ranks + 0.25))) if num_ranks > 1 else 0.0
