"""The network in Keras 2, `tf_keras` or the `tf.keras` of TensorFlow 2.15, from its description."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.methods.adapters.task import Outcome, Task, logistic


def build(keras: Any, task: Task, gives_probabilities: bool = False) -> Any:
    """Build the network with its first weights: from images as they are, 0–255, to a logit or a probability."""
    layers = keras.layers
    made = []
    for layer in task.network():
        options = {key: value for key, value in layer.items() if key not in ("kind", "input", "filters_in")}
        made.append(getattr(layers, layer["kind"])(**options))
    if gives_probabilities:  # for methods that take losses by their names alone
        made.append(layers.Activation("sigmoid"))
    model = keras.Sequential([layers.Input(task.images("validation").shape[1:]), *made])
    model.set_weights(task.weights())
    return model


def compile_model(keras: Any, model: Any, task: Task, optimizer: Any = None) -> None:
    """Compile with the loss and the optimizer of all methods."""
    model.compile(
        optimizer=optimizer or keras.optimizers.Adam(task.learning_rate, jit_compile=False),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
    )


def probabilities(model: Any, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """Apply the network in this process alone; whether it gives logits or probabilities."""
    import tensorflow as tf

    forward = model.__dict__.setdefault(
        "_forward", tf.function(lambda x: model(tf.cast(x, tf.float32), training=False))
    )
    chunks = [forward(images[first : first + batch_size]) for first in range(0, len(images), batch_size)]
    outputs = np.concatenate([chunk.numpy() for chunk in chunks])
    is_done = model.layers[-1].__class__.__name__ == "Activation"
    return outputs.reshape(-1) if is_done else logistic(outputs)


def epoch_recorder(keras: Any, task: Task, outcome: Outcome, num_images: int, writes: bool = True) -> Any:
    """Make the call-back that predicts the validation images after each epoch.

    Every worker predicts: under MultiWorkerMirroredStrategy, reading the moving averages is a collective operation.
    """
    images = task.images("validation")

    class Recorder(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.began = time.time()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            trained = time.time() - self.began
            predicted = probabilities(self.model, images)
            if writes:
                outcome.epoch(trained, num_images, predicted)

    return Recorder()


def batches(task: Task, seed: int, repeat: bool = False) -> Any:
    """Return a `tf.data.Dataset` of global batches of the training split, in another order each epoch."""
    import tensorflow as tf

    images, labels = task.images("train"), task.labels("train")
    data = tf.data.Dataset.from_tensor_slices((images, labels[:, None])).shuffle(len(images), seed=seed)
    data = data.repeat() if repeat else data
    data = data.batch(task.global_batch, drop_remainder=repeat)
    return data.map(lambda x, y: (tf.cast(x, tf.float32), y)).prefetch(2)


def free_port() -> int:
    """Return a port of loopback that nobody listens at now."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as opened:
        return opened.getsockname()[1]
