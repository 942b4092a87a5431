"""A program for tests: starts ranks on a Spark master with some settings and prints what GPU each one gets.

python -m tests.hvdcells.rank.gpu_ranks MASTER NUM_RANKS SETTINGS_AS_JSON
"""

import json
import os
import sys
import tempfile
from typing import Any

from hvdcells.errors import UserError
from hvdcells.experiment.horovod_settings import THREADS_VARIABLE
from hvdcells.spark.backends import HorovodOnSpark


def what_a_rank_gets(_: None, _called: float) -> dict[str, Any]:
    """Pin the GPU as training does; there is none, which the rank must notice."""
    import tensorflow as tf

    from hvdcells.experiment import Communication
    from hvdcells.rank.gpu import assigned_gpus
    from hvdcells.rank.start import start_rank

    refusal = None
    try:
        start_rank(Communication())
    except UserError as error:
        refusal = error.given
    return {
        "assigned": assigned_gpus(),
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "refusal": refusal,
        "threads": os.environ.get(THREADS_VARIABLE),
        "local_rank": int(os.environ["HOROVOD_LOCAL_RANK"]),
        "host": os.environ["HOROVOD_HOSTNAME"],
        "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
    }


def main(master: str, num_ranks: str, settings: str) -> None:
    """Print one JSON list, an entry a rank."""
    with tempfile.TemporaryDirectory() as logs:
        backend = HorovodOnSpark(int(num_ranks), master, conf=json.loads(settings))
        print("RANKS", json.dumps(backend.run("tests.hvdcells.rank.gpu_ranks:what_a_rank_gets", None, logs)))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
