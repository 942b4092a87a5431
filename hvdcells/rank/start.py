"""What every rank does before its work: Horovod, its device, its share of the cores."""

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from hvdcells.experiment import Communication
from hvdcells.experiment.horovod_settings import CommunicationSettings, Hardware, decide
from hvdcells.rank.gpu import pin_gpu

THREADS_VARIABLE = "HVDCELLS_THREADS"
"""Cores of a rank, where Spark counts them (`spark.task.cpus`). Else ranks of a host share its cores evenly."""


@dataclass
class StartUp:
    """Seconds since the command began at which each part of the start was done, on one rank."""

    began: float
    """`time.time()` when the command began, on the driver."""
    seconds: dict[str, float] = field(default_factory=dict)

    def done(self, part: str) -> None:
        """Note that a part is done."""
        self.seconds.setdefault(part, round(time.time() - self.began, 3))


def import_tensorflow() -> None:
    """Import TensorFlow without its notices about its build and the drivers this machine lacks.

    They are written straight to file descriptor 2 before TensorFlow reads its log level.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import tensorflow  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def start_rank(communication: Communication, mixed_precision: bool) -> CommunicationSettings:
    """Initialise Horovod, pin this rank to its device and give TensorFlow its share of the host's cores.

    Raises:
        UserError: Spark gave this rank's task a GPU that TensorFlow does not see.
    """
    import horovod.tensorflow as hvd
    import tensorflow as tf
    import tf_keras

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
    tf_keras.mixed_precision.set_global_policy("mixed_float16" if mixed_precision else "float32")
    return settings


def init_horovod() -> list[int]:
    """Initialise Horovod and return the ids of the threads that gloo started for it; none where that is not known."""
    import horovod.tensorflow as hvd

    before = _thread_ids()
    hvd.init()
    # The first is Horovod's own, which sleeps between cycles and must wake on time; it has started those of gloo.
    return sorted(_thread_ids() - before)[1:]


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
