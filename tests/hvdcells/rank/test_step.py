"""The training step on one rank."""

import tempfile

import horovod.tensorflow as hvd
import pytest
import tensorflow as tf
import tf_keras

from hvdcells.experiment import Augmentation, Experiment, Model, Optimizer
from hvdcells.rank.models import build_model
from hvdcells.rank.optimizer import build_optimizer
from hvdcells.rank.prediction import Predictor
from hvdcells.rank.start import broadcast
from hvdcells.rank.step import TrainingStep

pytestmark = pytest.mark.tensorflow


@pytest.mark.slow
def test_a_layer_with_control_flow_on_tensors_can_be_trained():
    class Brighten(tf_keras.layers.Layer):
        def call(self, images):
            if tf.reduce_mean(images) < 100:
                return images * 2
            return images

    hvd.init()
    inputs = tf_keras.Input((8, 8, 3))
    features = tf_keras.layers.GlobalAveragePooling2D()(Brighten()(inputs))
    single = tf_keras.layers.Reshape((1, 1))(tf_keras.layers.Dense(1, kernel_initializer="ones")(features))
    model = tf_keras.Model(inputs, tf_keras.layers.Reshape((2,))(tf_keras.layers.ZeroPadding1D((1, 0))(single)))
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
    # The second logit of a dark image: 3 · 50 · 2 = 300; of a bright one: 3 · 200 = 600. The first is 0,
    # and the loss of label 0 is the second.
    assert losses == pytest.approx([4 * 300, 4 * 600])


@pytest.mark.slow
def test_nothing_of_ours_is_converted_by_autograph(tmp_path, monkeypatch):
    """What it converts it writes into the temporary folder, where a rank that is killed leaves it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    hvd.init()
    experiment = Experiment(
        model=Model(width=0.25),
        augmentation=Augmentation(rotation_degrees=10, scale=0.1, stain=0.1, contrast=0.1, hue=0.1, brightness=0.1),
    ).override({"training.accumulation_steps": 2})
    model = build_model(experiment.model, 24, (100.0,) * 3, (50.0,) * 3, seed=0)
    optimizer = build_optimizer(experiment.optimizer, False, model.trainable_variables)
    step = TrainingStep(experiment, model, optimizer, (1.0, 1.0), num_groups=1)
    broadcast(model.variables)
    batch = {"image": tf.ones((4, 24, 24, 3), tf.uint8), "label": tf.zeros(4), "weight": tf.ones(4), "row": tf.range(4)}
    step.accumulate(batch, tf.constant([0, 0]), tf.constant(8.0))
    step.update(batch, tf.constant([0, 0]), tf.constant(8.0), tf.constant(0.1))
    Predictor(model).predict(iter([batch]), 1, 4)
    assert list(tmp_path.iterdir()) == []
