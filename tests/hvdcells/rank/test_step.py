"""The training step on one rank."""

import pytest

from hvdcells.experiment import Augmentation, Experiment, Optimizer


@pytest.mark.slow
def test_a_layer_with_control_flow_on_tensors_can_be_trained():
    import horovod.tensorflow as hvd
    import tensorflow as tf
    import tf_keras

    from hvdcells.rank.optimizer import build_optimizer
    from hvdcells.rank.step import TrainingStep

    class Brighten(tf_keras.layers.Layer):
        def call(self, images):
            if tf.reduce_mean(images) < 100:
                return images * 2
            return images

    hvd.init()
    inputs = tf_keras.Input((8, 8, 3))
    features = tf_keras.layers.GlobalAveragePooling2D()(Brighten()(inputs))
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(1, kernel_initializer="ones")(features))
    experiment = Experiment(
        augmentation=Augmentation(flips=False, quarter_turns=False), optimizer=Optimizer(name="sgd", momentum=0.0)
    )
    optimizer = build_optimizer(experiment.optimizer, False, model.trainable_variables)
    step = TrainingStep(experiment, model, optimizer, (1.0, 1.0), num_groups=0)

    losses = []
    for value in (50, 200):
        images = tf.fill((4, 8, 8, 3), tf.constant(value, tf.uint8))
        batch = {"image": images, "label": tf.zeros(4), "weight": tf.ones(4)}
        losses.append(float(step.update(batch, tf.constant([0, 0]), tf.constant(4.0), tf.constant(0.0)).loss))
    # Logit of a dark image: 3 · 50 · 2 = 300; of a bright one: 3 · 200 = 600. The loss of label 0 is the logit.
    assert losses == pytest.approx([4 * 300, 4 * 600])
