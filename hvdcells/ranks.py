"""What every rank does before its work: Horovod, its device, its share of the cores."""

import os
import sys
import time
from dataclasses import dataclass, field

from hvdcells.experiment import Communication
from hvdcells.horovod_settings import CommunicationSettings, Hardware, decide


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
    """Initialise Horovod, pin this rank to its device and give TensorFlow its share of the host's cores."""
    import horovod.tensorflow as hvd
    import tensorflow as tf
    import tf_keras

    hvd.init()
    gpus = tf.config.list_physical_devices("GPU")
    hardware: Hardware = "gpu" if gpus else "cpu"
    if gpus:
        gpu = gpus[hvd.local_rank() % len(gpus)]
        tf.config.set_visible_devices(gpu, "GPU")
        # A rank takes what it needs of its GPU, not all of it.
        tf.config.experimental.set_memory_growth(gpu, True)
    cores_per_rank = max(1, len(os.sched_getaffinity(0)) // hvd.local_size())
    settings = decide(communication, hardware, cores_per_rank)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(settings.intra_op_threads)
        tf.config.threading.set_inter_op_parallelism_threads(settings.inter_op_threads)
    except RuntimeError:
        # In a process that has used TensorFlow before (a notebook), the threads are what they are.
        pass
    tf_keras.mixed_precision.set_global_policy("mixed_float16" if mixed_precision else "float32")
    return settings
