"""The model held against the scaling that NVIDIA published for several hosts of eight GPUs.

What the GPUs of one full host lose together (cores that read and augment for all of them, power, links inside) is not
the model's to know: it is calibrated on the published rate of one full host, for each network, GPU and precision. How
the network between hosts is used and how ranks wait for each other is calibrated on Horovod's figures alone
(`published.calibrate`). More hosts are then predicted.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from scipy.optimize import brentq

from benchmarks.cluster_model.cluster import GBIT, Cluster, Link
from benchmarks.cluster_model.gpu_rates import GpuRate, published_rate
from benchmarks.cluster_model.gradients import of_model
from benchmarks.cluster_model.published import Comparison, Constants, calibrate
from benchmarks.cluster_model.step import Fusion, Workload, predict

TABLE = Path(__file__).parent / "published_hosts.json"


@dataclass(frozen=True)
class HostComparison(Comparison):
    """A published efficiency of full hosts beside the predicted one."""

    gpu: str
    precision: str

    @property
    def trained(self) -> str:
        """What was trained, on what and how."""
        return f"{self.model}, {self.gpu}, {self.precision}"


def compare() -> list[HostComparison]:
    """Return all published efficiencies of full hosts, against one GPU alone, with what the model says."""
    return [each for row in _table()["images_per_second"] for each in _compare_row(row, calibrate())]


def efficiency(model: str, rate: GpuRate, host_share: float, cluster: Cluster, jitter: float) -> float:
    """Return the images per second of a cluster over those of as many GPUs that each train alone in a host.

    Args:
        model: of the table of gradients.
        rate: of one GPU alone in its host.
        host_share: of that rate, what a GPU reaches in a full host before it waits for other ranks.
        cluster: of full hosts.
        jitter: of the ranks' compute time.
    """
    alone = rate.images_per_second
    workload = Workload(of_model(model), rate.batch_size, host_share * alone, jitter)
    return predict(workload, cluster, Fusion()).images_per_second / (cluster.num_gpus * alone)


def _compare_row(row: dict[str, Any], constants: Constants) -> Iterator[HostComparison]:
    model, gpu, precision, gpus_per_host = row["model"], row["gpu"], row["precision"], _table()["gpus_per_host"]
    rate = published_rate(model, gpu, precision)
    network = Link(constants.latency_seconds, constants.bandwidth_share * _table()["network_gbits"][gpu] * GBIT)

    def predicted(host_share: float, num_gpus: int) -> float:
        cluster = Cluster(num_gpus // gpus_per_host, gpus_per_host, network)
        return efficiency(model, rate, host_share, cluster, constants.jitter)

    published = {int(num): total / (int(num) * rate.images_per_second) for num, total in row["by_gpus"].items()}
    host_share = brentq(lambda share: predicted(share, gpus_per_host) - published[gpus_per_host], 0.1, 2)
    for num_gpus, figure in published.items():
        calibrated = num_gpus == gpus_per_host
        yield HostComparison(model, num_gpus, figure, predicted(host_share, num_gpus), calibrated, gpu, precision)


@cache
def _table() -> dict[str, Any]:
    return json.loads(TABLE.read_text())
