"""Elephas: Keras on PySpark. Images travel as rows of an RDD, weights through the driver."""

import sys
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.methods.adapters import network
from benchmarks.methods.adapters.task import Outcome, Task


def main(task: Task, outcome: Outcome, mode: str) -> None:
    """Train epoch by epoch: each call of `fit` starts from the weights that the last one came to.

    Args:
        task: what to train.
        outcome: where to.
        mode: `synchronous`: each worker trains an epoch on its part, then the driver averages; `asynchronous`: after
            every batch a worker sends its difference to a parameter server and takes what is there.
    """
    import tensorflow as tf
    from elephas.spark_model import SparkModel
    from elephas.utils.rdd_utils import to_simple_rdd
    from pyspark import SparkConf, SparkContext

    tf.keras.utils.set_random_seed(task.seed)
    settings = SparkConf().setMaster(f"local[{task.workers}]").set("spark.driver.memory", "4g")
    settings.set("spark.ui.enabled", "false").set("spark.driver.bindAddress", "127.0.0.1")
    context = SparkContext(conf=settings.set("spark.driver.host", "127.0.0.1"))
    model = network.build(tf.keras, task, gives_probabilities=True)
    optimizer = tf.keras.optimizers.legacy.Adam(task.learning_rate)
    model.compile(optimizer=optimizer, loss="binary_crossentropy")
    # A worker's part is a run of rows: without this, most of a part would be of one subject.
    order = np.random.default_rng(task.seed).permutation(len(task.labels("train")))
    rows = to_simple_rdd(context, task.images("train")[order], task.labels("train")[order][:, None])
    num_images = trained_images(rows.glom().map(len).collect(), task.batch_per_worker)
    frequency = "epoch" if mode == "synchronous" else "batch"
    validation = task.images("validation")
    for _ in range(task.epochs):
        began = time.time()
        # A parameter server is started once and cannot be again.
        port = network.free_port()
        trainer = SparkModel(model, mode=mode, frequency=frequency, num_workers=task.workers, port=port)
        trainer.fit(rows, epochs=1, batch_size=task.batch_per_worker, verbose=0, validation_split=0.0)
        trained = time.time() - began
        outcome.epoch(trained, num_images, network.probabilities(model, validation))
    outcome.finish(network.probabilities(model, task.images("test")))
    context.stop()


def trained_images(partitions: Sequence[int], batch_size: int) -> int:
    """Return how many images an epoch trains on: Elephas passes over partitions that are no larger than a batch.

    Raises:
        ValueError: it would pass over all of them, and call that training.
    """
    trained = sum(size for size in partitions if size > batch_size)
    if not trained:
        raise ValueError(
            f"partitions of {list(partitions)} images: Elephas skips those no larger than a batch ({batch_size})"
        )
    return trained


if __name__ == "__main__":
    main(Task(sys.argv[1]), Outcome(sys.argv[2]), sys.argv[3])
