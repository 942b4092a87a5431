"""The model fitted to measured points, so that it can be held against points it has not seen.

A measured step is compute + communication + waiting for input, all of them as a rank saw them. Ranks may share cores:
d threads for each core take max(1, d) times as long, and 1 + κ for each further core of the machine that is busy,
since memory and caches are shared. That factor is for CPUs: GPUs are not shared.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from scipy.optimize import nnls

from benchmarks.cluster_model.cluster import Link
from benchmarks.cluster_model.step import expected_maximum
from hvdcells.errors import UserError

BUFFER_BYTES = 64 * 2**20
"""What one allreduce takes at most; this project's ranks on CPU reduce all gradients in one group."""


@dataclass(frozen=True)
class MeasuredPoint:
    """What the model needs of one point of `python -m benchmarks.scaling`; times are medians per step, of one rank."""

    model: str
    input: str
    world_size: int
    batch_size_per_rank: int
    step_seconds: float
    compute_seconds: float
    input_seconds: float
    gradient_bytes: int
    core_demand: float
    """Threads that compute for each core, where they are most crowded."""
    num_further_busy_cores: int
    """Cores of the machine that compute for others than this rank. Of the machine, not of the host, where hosts are
    namespaces of one machine."""

    @property
    def workload(self) -> tuple[str, str]:
        """What is computed and read, whatever the number of ranks."""
        return self.model, self.input

    @property
    def images_per_second(self) -> float:
        """Over all ranks."""
        return self.world_size * self.batch_size_per_rank / self.step_seconds


@dataclass(frozen=True)
class WorkloadFit:
    """What one rank takes for one model and one kind of input, when it has its cores for itself."""

    step_overhead_seconds: float
    image_seconds: float
    input_image_seconds: float
    """Waiting for input, for each image of the batch; 0 where reading keeps up."""

    def compute_seconds(self, batch_size: int) -> float:
        """Of one step."""
        return self.step_overhead_seconds + self.image_seconds * batch_size


@dataclass(frozen=True)
class ClusterFit:
    """Constants of a machine or cluster, and of each workload that was measured on it."""

    workloads: dict[tuple[str, str], WorkloadFit]
    core_sharing: float
    """κ: how much longer a step takes for each further core of the machine that is busy."""
    link: Link
    jitter: float
    """Standard deviation of a rank's compute time, as a share of it."""

    def sharing(self, point: MeasuredPoint) -> float:
        """Return how many times as long a rank of this point takes as one alone on its machine."""
        return max(1.0, point.core_demand) * (1 + self.core_sharing * point.num_further_busy_cores)

    def step_seconds(self, point: MeasuredPoint) -> float:
        """Predict a step from a point's settings; what it measured is not looked at.

        Raises:
            UserError: its workload was not among the points of the fit.
        """
        try:
            workload = self.workloads[point.workload]
        except KeyError:
            known = ", ".join(" on ".join(known) for known in self.workloads)
            raise UserError(
                f"{point.model} on {point.input} with {point.world_size} ranks alone",
                f"one of the workloads of the fit: {known}",
                "measure it with 1 and 2 ranks too",
            ) from None
        sharing = self.sharing(point)
        compute = workload.compute_seconds(point.batch_size_per_rank) * sharing
        reading = workload.input_image_seconds * point.batch_size_per_rank * sharing
        waiting, latency, transfer = _communication_terms(point, compute, max(1.0, point.core_demand))
        return (
            compute
            + reading
            + self.jitter * waiting
            + self.link.latency_seconds * latency
            + transfer / self.link.bytes_per_second
        )

    def efficiency(self, alone: MeasuredPoint, num_ranks: int) -> float:
        """Return the scaling efficiency of so many ranks, each on a machine of its own like that of the point."""
        return self.step_seconds(alone) / self.step_seconds(replace(alone, world_size=num_ranks))


def fit(points: Sequence[MeasuredPoint]) -> ClusterFit:
    """Fit all constants in non-negative least squares, relative to what was measured.

    Raises:
        UserError: a workload lacks a point with one rank, or no point has more than one.
    """
    by_workload = defaultdict(list)
    for point in points:
        by_workload[point.workload].append(point)
    alone = {key: [p for p in group if p.world_size == 1] for key, group in by_workload.items()}
    missing = [" on ".join(key) for key, group in alone.items() if not group]
    together = [point for point in points if point.world_size > 1]
    if missing or not together:
        raise UserError(
            "measured points without one rank of " + ", ".join(missing) if missing else "points of one rank alone",
            "for every model and input a point with one rank, and some with more",
            "measure them: python -m benchmarks.scaling --workers 1,2",
        )
    workloads = {key: _fit_workload(group) for key, group in alone.items()}
    core_sharing = _fit_core_sharing(together, workloads)
    fitted = ClusterFit(workloads, core_sharing, Link(0.0, math.inf), 0.0)
    jitter, latency, per_byte = _fit_communication(together, fitted)
    return ClusterFit(workloads, core_sharing, Link(latency, 1 / per_byte if per_byte else math.inf), jitter)


def _fit_workload(alone: list[MeasuredPoint]) -> WorkloadFit:
    batches = np.array([point.batch_size_per_rank for point in alone], float)
    seconds = np.array([point.compute_seconds for point in alone])
    columns = np.stack([np.ones_like(batches), batches], axis=1)
    if len(set(batches)) == 1:
        # One batch size tells nothing of what does not grow with it.
        columns[:, 0] = 0
    (overhead, per_image), _ = nnls(columns / seconds[:, None], np.ones_like(seconds))
    reading = float(np.mean([point.input_seconds / point.batch_size_per_rank for point in alone]))
    return WorkloadFit(float(overhead), float(per_image), reading)


def _fit_core_sharing(together: list[MeasuredPoint], workloads: dict[tuple[str, str], WorkloadFit]) -> float:
    """Return κ from what compute takes longer than of a rank alone: the median over points where more cores are busy.

    The median, since a time stamp that comes late can put the update of a large model on the communication's side.
    """
    longer = []
    for point in together:
        if point.num_further_busy_cores > 0:
            expected = workloads[point.workload].compute_seconds(point.batch_size_per_rank)
            as_long = point.compute_seconds / expected / max(1.0, point.core_demand)
            longer.append((as_long - 1) / point.num_further_busy_cores)
    return max(0.0, median(longer)) if longer else 0.0


def _fit_communication(together: list[MeasuredPoint], fitted: ClusterFit) -> tuple[float, float, float]:
    """Return (jitter, seconds per round, seconds per byte) from what of the steps is neither computing nor reading."""
    rows, seconds = [], []
    for point in together:
        workload, sharing = fitted.workloads[point.workload], fitted.sharing(point)
        compute = workload.compute_seconds(point.batch_size_per_rank) * sharing
        reading = workload.input_image_seconds * point.batch_size_per_rank * sharing
        # Relative to the step: that is what is to be predicted.
        terms = _communication_terms(point, compute, max(1.0, point.core_demand))
        rows.append(np.array(terms) / point.step_seconds)
        seconds.append((point.step_seconds - compute - reading) / point.step_seconds)
    columns = np.array(rows)
    # Columns of equal size, so that the solver's tolerance means the same to each.
    sizes = np.linalg.norm(columns, axis=0)
    solution, _ = nnls(columns / sizes, np.array(seconds))
    jitter, latency, per_byte = solution / sizes
    return float(jitter), float(latency), float(per_byte)


def _communication_terms(point: MeasuredPoint, compute: float, core_demand: float) -> tuple[float, float, float]:
    """Return what the jitter, the latency and the seconds per byte are multiplied with; sockets need cores too."""
    rounds = 2 * (point.world_size - 1)
    num_buffers = math.ceil(point.gradient_bytes / BUFFER_BYTES)
    return (
        compute * expected_maximum(point.world_size),
        rounds * num_buffers * core_demand,
        rounds / point.world_size * point.gradient_bytes * core_demand,
    )
