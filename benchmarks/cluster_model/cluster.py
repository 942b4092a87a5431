"""A cluster as the model sees it: GPUs in hosts, a network between hosts, and what one allreduce takes on it.

Ring-allreduce of M bytes over n members: 2 (n − 1) rounds, each of which costs a latency α and moves M / n bytes at
bandwidth B over every link at once, so 2 (n − 1) α + 2 (n − 1) / n · M / B (Patarasu and Yuan 2009, doi
10.1016/j.jpdc.2008.09.002).
"""

from dataclasses import dataclass

GBIT = 1e9 / 8
"""Bytes per second of a link of one gigabit per second."""


@dataclass(frozen=True)
class Link:
    """What connects two neighbours of a ring."""

    latency_seconds: float
    """α: what a round costs whatever its size."""
    bytes_per_second: float
    """B: what is left of the line rate for payload, one way."""

    def ring_seconds(self, num_bytes: float, num_members: int) -> float:
        """Return the time of one ring-allreduce of a buffer."""
        if num_members < 2:
            return 0.0
        rounds = 2 * (num_members - 1)
        return rounds * self.latency_seconds + rounds / num_members * num_bytes / self.bytes_per_second


IN_HOST = Link(5e-6, 10e9)
"""Assumed between GPUs of one host: PCIe 3 ×16, at 10 of its 15.75 GB/s."""


@dataclass(frozen=True)
class Cluster:
    """Equal hosts with equal GPUs; one rank per GPU."""

    num_hosts: int
    gpus_per_host: int
    network: Link
    """Between hosts. The GPUs of a host share it."""
    in_host: Link = IN_HOST
    hierarchical: bool = False
    """Reduce within each host first (`HOROVOD_HIERARCHICAL_ALLREDUCE`); else one flat ring goes through all GPUs."""

    @property
    def num_gpus(self) -> int:
        """Ranks in all."""
        return self.num_hosts * self.gpus_per_host

    def allreduce_seconds(self, num_bytes: float) -> float:
        """Return the time of one allreduce of a buffer over all GPUs.

        A flat ring enters and leaves each host once, so its slowest link sets the pace of all rounds. The hierarchical
        one reduces and scatters within a host (half of a ring), lets each GPU take its share around the hosts, all
        of them over the one network link, and gathers within the host (the other half).
        """
        if self.num_hosts == 1:
            return self.in_host.ring_seconds(num_bytes, self.gpus_per_host)
        if self.hierarchical:
            within = self.in_host.ring_seconds(num_bytes, self.gpus_per_host)
            return within + self.network.ring_seconds(num_bytes, self.num_hosts)
        slowest = Link(
            max(self.network.latency_seconds, self.in_host.latency_seconds),
            min(self.network.bytes_per_second, self.in_host.bytes_per_second),
        )
        return slowest.ring_seconds(num_bytes, self.num_gpus)
