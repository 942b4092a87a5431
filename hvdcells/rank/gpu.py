"""The GPU of a rank: the one that Spark gave its task, so that no two ranks of a host share one.

Without TensorFlow: the doctor, on the driver, judges by it too.
"""

import platform
import sys

from hvdcells.errors import UserError

UUID_PREFIXES = ("GPU-", "MIG-")
"""Of addresses that `CUDA_VISIBLE_DEVICES` takes as they are, whatever else is visible and in whatever order."""


def assigned_gpus() -> list[str]:
    """Return the addresses of the GPUs that Spark gave this rank's task; none where Spark schedules no GPUs.

    A rank is a child of its Spark task and has no `TaskContext`. Horovod asks the task for its resources when the
    rank starts.
    """
    if "horovod.spark.task" not in sys.modules:  # no process that Horovod has started on Spark
        return []
    from horovod.spark.task import get_available_devices

    return list(get_available_devices())


def position_of_gpu(address: str | None, restriction: str | None, num_visible: int, local_rank: int) -> int | None:
    """Return which of the GPUs that this process sees is the rank's own; None where there are none to have.

    Args:
        address: what Spark gave the task: a number as nvidia-smi counts, or a UUID; None where it schedules no GPUs.
        restriction: the value of `CUDA_VISIBLE_DEVICES`; None if it is not set. A UUID that Spark gave is in it.
        num_visible: how many GPUs the process sees, counted from 0 in the order of the restriction.
        local_rank: the rank among those of its host.

    Raises:
        UserError: Spark gave a GPU that is not among those seen.
    """
    if address is None:
        return local_rank % num_visible if num_visible else None
    if num_visible == 1:
        # Isolation (YARN, a container, the UUID) shows the task its own GPU alone, under whatever number.
        return 0
    seen = [str(number) for number in range(num_visible)]
    if restriction is not None:
        seen = [entry.strip() for entry in restriction.split(",")][:num_visible]
    if address in seen:
        return seen.index(address)
    among = "" if restriction is None else f" and CUDA_VISIBLE_DEVICES={restriction}"
    raise UserError(
        f"Spark gave the GPU {address!r} on {platform.node()}, where TensorFlow sees {num_visible} GPUs{among}",
        "the GPU that Spark gave among those that TensorFlow sees",
        "install the driver and CUDA libraries on that host (a TensorFlow without GPU support sees none), or have "
        "Spark discover GPUs by UUID (launch/assets/discover_gpus.sh)",
    )
