"""The model held against the scaling that Horovod's authors published for up to 512 GPUs.

Three constants are calibrated on their 16 and 128 GPUs, the same for all three networks: the latency of a round of the
ring, the share of the line rate that is left for payload, and the jitter of ranks. 512 GPUs are then predicted.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from benchmarks.cluster_model.cluster import GBIT, Cluster, Link
from benchmarks.cluster_model.gradients import of_model
from benchmarks.cluster_model.step import Fusion, Workload, predict

TABLE = Path(__file__).parent / "published.json"

FUSION = Fusion(cycle_seconds=0.005)
"""Horovod's defaults of that time: 64 MiB, 5 ms."""

CALIBRATED_ON = (16, 128)


@dataclass(frozen=True)
class Constants:
    """What is not known of a cluster beforehand, whatever network is trained on it."""

    latency_seconds: float
    """Of one round of the ring, Horovod's negotiation included."""
    bandwidth_share: float
    """Of the line rate."""
    jitter: float
    """Of the ranks' compute time; with it come all slow-downs that grow slowly with the number of ranks."""


@dataclass(frozen=True)
class Comparison:
    """One published efficiency beside the predicted one."""

    model: str
    num_gpus: int
    published: float
    predicted: float
    calibrated: bool
    """The constants were calibrated on this figure, among others."""

    @property
    def trained(self) -> str:
        """What was trained, and where that differs, on what and how."""
        return self.model

    @property
    def error_points(self) -> float:
        """Predicted less published, in percentage points."""
        return 100 * (self.predicted - self.published)


def published() -> dict[tuple[str, int], float]:
    """Return the published scaling efficiencies by network and number of GPUs."""
    table = _table()
    single = table["single_gpu_images_per_second"]
    figures = {(model, 16): rate / 16 / single[model] for model, rate in table["images_per_second_on_16"].items()}
    for num_gpus, efficiencies in table["efficiency"].items():
        figures |= {(model, int(num_gpus)): efficiency for model, efficiency in efficiencies.items()}
    return figures


def predicted(model: str, num_gpus: int, constants: Constants) -> float:
    """Return the efficiency that the model gives for one of the published runs."""
    table = _table()
    workload = Workload(
        of_model(model),
        table["batch_size_per_gpu"],
        table["single_gpu_images_per_second"][model],
        constants.jitter,
    )
    network = Link(constants.latency_seconds, constants.bandwidth_share * table["network_gbits"] * GBIT)
    gpus_per_host = table["gpus_per_host"]
    return predict(workload, Cluster(num_gpus // gpus_per_host, gpus_per_host, network), FUSION).efficiency


@cache
def calibrate(num_gpus: tuple[int, ...] = CALIBRATED_ON) -> Constants:
    """Find the constants that suit the published figures for these numbers of GPUs best, in least squares."""
    return _best_constants({key: value for key, value in published().items() if key[1] in num_gpus})


@cache
def calibrate_tcp() -> Constants:
    """Return the constants with the bandwidth share that TCP reached on the 16 GPUs instead of RDMA."""
    table = _table()
    single = table["single_gpu_images_per_second"]
    figures = {
        (model, 16): rate / 16 / single[model] for model, rate in table["images_per_second_on_16_over_tcp"].items()
    }
    return _best_constants(figures, rdma=calibrate())


def compare() -> list[Comparison]:
    """Return all published figures with what the model says."""
    constants = calibrate()
    return [
        Comparison(model, num_gpus, figure, predicted(model, num_gpus, constants), num_gpus in CALIBRATED_ON)
        for (model, num_gpus), figure in published().items()
    ]


def _best_constants(figures: dict[tuple[str, int], float], rdma: Constants | None = None) -> Constants:
    """Search from several starts, since packing gradients into buffers makes small jumps.

    With `rdma`, only the bandwidth share is searched, and the rest taken from it.
    """

    def constants(x: Sequence[float] | np.ndarray) -> Constants:
        if rdma:
            return Constants(rdma.latency_seconds, x[0], rdma.jitter)
        return Constants(x[1] * 1e-6, x[0], x[2] / 100)

    def errors(x: np.ndarray, /) -> list[float]:
        return [predicted(model, num_gpus, constants(x)) - figure for (model, num_gpus), figure in figures.items()]

    # Share of the line rate, microseconds, percent.
    starts = [(share, latency, jitter) for share in (0.6, 0.85) for latency in (5, 20) for jitter in (1, 3)]
    bounds = ((0.1, 0, 0), (1, 100, 10))
    num_searched = 1 if rdma else 3
    found = (
        least_squares(
            errors,
            start[:num_searched],
            bounds=(bounds[0][:num_searched], bounds[1][:num_searched]),
            diff_step=[1e-3] * num_searched,
        )
        for start in starts
    )
    return constants(min(found, key=lambda result: result.cost).x)


@cache
def _table() -> dict:
    return json.loads(TABLE.read_text())
