"""One process without Spark, given all cores: `fit` of Keras. The baseline."""

import sys

from benchmarks.methods.adapters import network
from benchmarks.methods.adapters.task import Outcome, Task


def main(task: Task, outcome: Outcome) -> None:
    """Train with the global batch of the distributed methods."""
    import tf_keras

    tf_keras.utils.set_random_seed(task.seed)
    model = network.build(tf_keras, task)
    network.compile_model(tf_keras, model, task)
    recorder = network.epoch_recorder(tf_keras, task, outcome, len(task.labels("train")))
    model.fit(network.batches(task, task.seed), epochs=task.epochs, callbacks=[recorder], verbose=2)
    outcome.finish(network.probabilities(model, task.images("test")))


if __name__ == "__main__":
    main(Task(sys.argv[1]), Outcome(sys.argv[2]))
