"""What one rank does for the doctor: reduce with all others, and say what it saw."""

import faulthandler
import platform
import time
from typing import Any

import horovod.tensorflow as hvd
import numpy as np
import tensorflow as tf

from hvdcells.experiment import Communication
from hvdcells.rank.start import start_rank

NUM_FLOATS = 4 << 20
"""16 MiB, about the gradients of MobileNetV2."""


def reduce_together(limit_seconds: float, _called: float) -> dict[str, Any]:
    """Reduce on one rank: a number that tells the ranks apart, and enough to measure a speed."""
    # A rank that waits for another one that never comes ends with its trace.
    faulthandler.dump_traceback_later(limit_seconds, exit=True)
    start_rank(Communication())
    total = hvd.allreduce(tf.constant([hvd.rank() + 1.0]), op=hvd.Sum, name="total")
    data = tf.constant(np.full(NUM_FLOATS, hvd.rank(), np.float32))
    hvd.allreduce(data, op=hvd.Sum, name="first")
    began = time.perf_counter()
    last = hvd.allreduce(data, op=hvd.Sum, name="second")
    sums = float(total[0]), float(last[-1])
    seconds = time.perf_counter() - began
    faulthandler.cancel_dump_traceback_later()
    gpus = [device.name for device in tf.config.get_visible_devices("GPU")]
    return {"host": platform.node(), "rank": hvd.rank(), "sums": sums, "seconds": seconds, "gpus": gpus}
