"""Horovod's KerasEstimator: a Spark ML estimator that writes a DataFrame through Petastorm and trains on that."""

import sys

import numpy as np

from benchmarks.methods.adapters import keras_estimator, network
from benchmarks.methods.adapters.task import Outcome, Task


def epoch_recorder(task_folder: str, outcome_folder: str) -> object:
    """Make the call-back that notes the epochs on rank 0; the others predict too, and write nothing."""
    import horovod.tensorflow.keras as hvd
    import tensorflow as tf

    task = Task(task_folder)
    # Every rank takes so many whole batches, from the start of its part again if need be.
    num_images = -(-len(task.labels("train")) // task.global_batch) * task.global_batch

    class Recorder(tf.keras.callbacks.Callback):
        def on_train_begin(self, logs: object = None) -> None:
            writes = hvd.rank() == 0
            self.inner = network.epoch_recorder(tf.keras, task, Outcome(outcome_folder), num_images, writes)
            self.inner.set_model(self.model)

        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            self.inner.on_epoch_begin(epoch)

        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            self.inner.on_epoch_end(epoch)

    return Recorder()


def main(task_folder: str, outcome_folder: str) -> None:
    """Fit the estimator on the training images as vectors of a DataFrame."""
    import tensorflow as tf
    from horovod.spark.common.store import LocalStore
    from horovod.spark.keras import KerasEstimator
    from pyspark.ml.linalg import DenseVector
    from pyspark.sql import SparkSession

    task, outcome = Task(task_folder), Outcome(outcome_folder)
    settings = {"spark.ui.enabled": "false", "spark.driver.memory": "4g"}
    settings |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    builder = SparkSession.builder.master(f"local[{task.workers}]")
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    images, labels = task.images("train"), task.labels("train")
    order = np.random.default_rng(task.seed).permutation(len(labels))
    rows = [(DenseVector(images[index].reshape(-1).astype(np.float64)), float(labels[index])) for index in order]
    frame = spark.sparkContext.parallelize(rows, 4 * task.workers).toDF(["image", "label"])
    tf.keras.utils.set_random_seed(task.seed)
    model = network.build(tf.keras, task, gives_probabilities=True)
    estimator = KerasEstimator(
        num_proc=task.workers,
        store=LocalStore(str(outcome.folder / "store")),
        model=model,
        # The estimator multiplies the rate by the number of workers, which all other methods leave alone.
        optimizer=tf.keras.optimizers.Adam(task.learning_rate / task.workers),
        loss="binary_crossentropy",
        feature_cols=["image"],
        label_cols=["label"],
        batch_size=task.batch_per_worker,
        epochs=task.epochs,
        callbacks=[keras_estimator.epoch_recorder(task_folder, outcome_folder)],
        verbose=2,
    )
    trained = estimator.fit(frame).getModel()
    outcome.finish(network.probabilities(trained, task.images("test")))
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
