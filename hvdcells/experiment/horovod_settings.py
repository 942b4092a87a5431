"""Defaults of Horovod and TensorFlow threading for each kind of hardware, in one place, each with its reason.

A field of `experiment.communication` overrides the default; a `HOROVOD_…` variable that is set on the driver
overrides both. `docs/performance.md` holds the measurements.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hvdcells.experiment import Communication

Hardware = Literal["cpu", "gpu"]

THREADS_VARIABLE = "HVDCELLS_THREADS"
"""Cores of a rank, where Spark counts them (`spark.task.cpus`). Else ranks of a host share its cores evenly."""


@dataclass(frozen=True)
class CommunicationSettings:
    """Settings of one run, all of them decided."""

    hardware: Hardware
    """What this rank computes on."""
    cycle_time_ms: float
    """Pause of Horovod's background thread between two looks for gradients that are ready."""
    fusion_threshold_bytes: int
    """Gradients are packed into buffers of up to this size for one allreduce."""
    cache_capacity: int
    """Tensors whose negotiation is remembered."""
    num_groups: int
    """Groups of gradients reduced together; 0 lets Horovod fuse whatever is ready in a cycle."""
    gloo_gives_way: bool
    """gloo's threads run only on cores that nothing else wants; see `hvdcells.rank.start.give_way`."""
    intra_op_threads: int
    inter_op_threads: int

    def environment(self) -> dict[str, str]:
        """Return the variables a rank's process starts with. TensorFlow's threads are set by the rank itself."""
        return {
            "HOROVOD_CYCLE_TIME": f"{self.cycle_time_ms:g}",
            "HOROVOD_FUSION_THRESHOLD": str(self.fusion_threshold_bytes),
            # Every tensor's name and shape is the same each step: the cache makes negotiation a bit vector.
            "HOROVOD_CACHE_CAPACITY": str(self.cache_capacity),
        }


def decide(
    options: Communication, hardware: Hardware, cores_per_rank: int, environ: Mapping[str, str] | None = None
) -> CommunicationSettings:
    """Decide all settings: the driver's `HOROVOD_…` variables, then the experiment, then the default."""
    environ = os.environ if environ is None else environ
    if hardware == "gpu":
        # NCCL runs beside the backward pass on its own stream, so many small fused buffers overlap with it.
        default = CommunicationSettings(hardware, 1.0, 64 << 20, 1024, 0, False, max(2, cores_per_rank), 2)
    else:
        # gloo runs on the cores that compute: its threads give way, so that a short cycle costs the model nothing.
        # All gradients in one group are negotiated once a step.
        default = CommunicationSettings(hardware, 2.0, 64 << 20, 1024, 1, True, cores_per_rank, 1)
    chosen = {
        name: value
        for name in CommunicationSettings.__dataclass_fields__
        if (value := getattr(options, name, None)) is not None
    }
    from_environment = {
        "cycle_time_ms": ("HOROVOD_CYCLE_TIME", float),
        "fusion_threshold_bytes": ("HOROVOD_FUSION_THRESHOLD", int),
        "cache_capacity": ("HOROVOD_CACHE_CAPACITY", int),
    }
    for name, (variable, convert) in from_environment.items():
        if variable in environ:
            chosen[name] = convert(environ[variable])
    return CommunicationSettings(**{**vars(default), **chosen})
