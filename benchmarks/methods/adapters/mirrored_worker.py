"""What one worker of MultiWorkerMirroredStrategy does, whoever started it and set TF_CONFIG."""

from benchmarks.methods.adapters import network
from benchmarks.methods.adapters.task import Outcome, Task


def train(task_folder: str, outcome_folder: str, is_chief: bool) -> None:
    """Train; the chief notes the epochs and the test predictions."""
    import tensorflow as tf
    import tf_keras

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    task, outcome = Task(task_folder), Outcome(outcome_folder)
    tf_keras.utils.set_random_seed(task.seed)
    with strategy.scope():
        model = network.build(tf_keras, task)
        network.compile_model(tf_keras, model, task)
    # Each worker takes its share of every global batch; an epoch is whole global batches.
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    data = network.batches(task, task.seed, repeat=True).with_options(options)
    steps = len(task.labels("train")) // task.global_batch
    if not steps:
        raise ValueError(
            f"{len(task.labels('train'))} training images are no whole global batch of {task.global_batch}"
        )
    recorder = network.epoch_recorder(tf_keras, task, outcome, steps * task.global_batch, writes=is_chief)
    model.fit(data, steps_per_epoch=steps, epochs=task.epochs, callbacks=[recorder], verbose=2)
    predicted = network.probabilities(model, task.images("test"))
    if is_chief:
        outcome.finish(predicted)
