"""Elephas: Keras on PySpark. Images travel as rows of an RDD, weights through the driver."""

import sys
import time

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
    frequency = "epoch" if mode == "synchronous" else "batch"
    validation = task.images("validation")
    for _ in range(task.epochs):
        began = time.time()
        # A parameter server is started once and cannot be again.
        port = network.free_port()
        trainer = SparkModel(model, mode=mode, frequency=frequency, num_workers=task.workers, port=port)
        trainer.fit(rows, epochs=1, batch_size=task.batch_per_worker, verbose=0, validation_split=0.0)
        trained = time.time() - began
        outcome.epoch(trained, len(order), network.probabilities(model, validation))
    outcome.finish(network.probabilities(model, task.images("test")))
    context.stop()


if __name__ == "__main__":
    main(Task(sys.argv[1]), Outcome(sys.argv[2]), sys.argv[3])
