"""What every rank does before its work: Horovod, its device, its share of the cores."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import horovod.tensorflow as hvd
import tensorflow as tf
import tf_keras

from hvdcells.experiment import Communication, Training
from hvdcells.experiment.horovod_settings import THREADS_VARIABLE, CommunicationSettings, Hardware, decide
from hvdcells.rank.gpu import UUID_PREFIXES, assigned_gpus, position_of_gpu

NCCL_INTERFACES = "NCCL_SOCKET_IFNAME"
"""What Horovod gives each rank: the interfaces of one name over which all ranks and the driver reach each other."""


@dataclass
class StartUp:
    """Seconds since the command began at which each part of the start was done, on one rank."""

    began: float
    """`time.time()` when the command began, on the driver."""
    seconds: dict[str, float] = field(default_factory=dict)

    def done(self, part: str, at: float | None = None) -> None:
        """Note that a part is done: now, or at a time of `time.time()`."""
        self.seconds.setdefault(part, round((at or time.time()) - self.began, 3))


def start_rank(communication: Communication, training: Training | None = None) -> CommunicationSettings:
    """Initialise Horovod, pin this rank to its device, give TensorFlow its share of the host's cores and its precision.

    Raises:
        UserError: Spark gave this rank's task a GPU that TensorFlow does not see.
    """
    gloo_threads = init_horovod()
    hardware: Hardware = "gpu" if pin_gpu(hvd.local_rank()) else "cpu"
    stated = int(os.environ.get(THREADS_VARIABLE, 0))
    cores_per_rank = stated or max(1, len(os.sched_getaffinity(0)) // hvd.local_size())
    settings = decide(communication, hardware, cores_per_rank)
    if settings.gloo_gives_way:
        give_way(gloo_threads)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(settings.intra_op_threads)
        tf.config.threading.set_inter_op_parallelism_threads(settings.inter_op_threads)
    except RuntimeError:
        # In a process that has used TensorFlow before (a notebook), the threads are what they are.
        pass
    training = training or Training()
    tf_keras.mixed_precision.set_global_policy(training.policy)
    tf.config.experimental.enable_tensor_float_32_execution(training.tf32)
    return settings


def pin_gpu(local_rank: int) -> bool:
    """Make one GPU visible to TensorFlow, which takes of its memory what it needs; return whether there is one.

    Must come before TensorFlow has used a GPU.

    Args:
        local_rank: chooses among the GPUs of a host where Spark gave none.

    Raises:
        UserError: Spark gave a GPU that TensorFlow does not see.
    """
    address = next(iter(assigned_gpus()), None)
    # nvidia-smi, which discovers, counts in the order of the bus; CUDA by itself puts the fastest first.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    if address is not None and address.startswith(UUID_PREFIXES):
        os.environ["CUDA_VISIBLE_DEVICES"] = address
    gpus = tf.config.list_physical_devices("GPU")
    position = position_of_gpu(address, os.environ.get("CUDA_VISIBLE_DEVICES"), len(gpus), local_rank)
    if position is None:
        return False
    try:
        tf.config.set_visible_devices(gpus[position], "GPU")
        tf.config.experimental.set_memory_growth(gpus[position], True)
    except RuntimeError:
        # In a process that has used TensorFlow before (a notebook), devices are what they are.
        if address is not None:
            raise
    return True


def broadcast(variables: list[tf.Variable]) -> None:
    """Set variables on every rank to what they are on rank 0.

    All at once, as `hvd.broadcast_variables` does, which has AutoGraph convert Horovod's own code.
    """

    def assign() -> None:
        for variable in variables:
            variable.assign(hvd.broadcast(variable, root_rank=0))

    tf.function(assign, autograph=False)()


def init_horovod() -> list[int]:
    """Initialise Horovod and return the ids of the threads that gloo started for it; none where that is not known."""
    before = _thread_ids()
    os.environ.update(exact_interfaces(os.environ))
    hvd.init()
    # The first is Horovod's own, which sleeps between cycles and must wake on time; it has started those of gloo.
    return sorted(_thread_ids() - before)[1:]


def exact_interfaces(environ: Mapping[str, str]) -> dict[str, str]:
    """Return NCCL's variable for the interfaces that Horovod has found all ranks to share, and no others.

    NCCL takes names for beginnings of names, `eth1` for `eth10` too, unless `=` is in front of them
    (https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/env.html).
    """
    shared = environ.get(NCCL_INTERFACES, "")
    return {NCCL_INTERFACES: f"={shared}"} if shared and shared[0] not in "=^" else {}


def give_way(threads: list[int]) -> None:
    """Let threads run only on cores that nothing else wants.

    When one rank has sent what another is not yet waiting for, gloo's thread on the late rank asks the kernel again
    and again until it is (its epoll is level-triggered): a twelfth of the late rank's only core, measured. Nothing
    needs that thread before the rank's own gradient is there, and then the model leaves it the core.
    """
    for thread in threads:
        try:
            os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
        except (AttributeError, OSError):  # not Linux, or not allowed here: it is slower, and works
            return


def _thread_ids() -> set[int]:
    folder = Path("/proc/self/task")
    return {int(task.name) for task in folder.iterdir()} if folder.exists() else set()
