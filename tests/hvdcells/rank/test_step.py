"""The training step on one rank."""

import tempfile

import horovod.tensorflow as hvd
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from hvdcells.experiment import Augmentation, Experiment, Model, Optimizer
from hvdcells.rank.augmentation.mixing import mix
from hvdcells.rank.models import build_model
from hvdcells.rank.optimizer import averaged_weights, build_optimizer
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


SIZE, LABELS, PADDED = 8, [0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0]


def linear_step(changes=None, ema_decay=None, mixed=False):
    """A step of a model that weighs the mean colour, with plain gradient descent, and images to train on."""
    hvd.init()
    inputs = tf_keras.Input((SIZE, SIZE, 3))
    means = tf_keras.layers.GlobalAveragePooling2D()(inputs / 255)
    kernel = tf_keras.initializers.Constant([[-1.0, 1.0]] * 3)
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(2, kernel_initializer=kernel)(means))
    experiment = Experiment(
        augmentation=Augmentation(flips=False, quarter_turns=False), optimizer=Optimizer(name="sgd", momentum=0.0)
    ).override({"training.mixed_precision": mixed, **(changes or {})})
    variables = model.trainable_variables
    optimizer = build_optimizer(experiment.optimizer, mixed, variables, ema_decay)
    return TrainingStep(experiment, model, optimizer, (1.5, 0.75), num_groups=0), model


def linear_batch():
    images = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
    return {"image": tf.constant(images), "label": tf.constant(LABELS), "weight": tf.constant(PADDED)}


def cross_entropy(logits, labels):
    """By image, with the weight of its class; a logit is what class 1 has before class 0."""
    return (np.logaddexp(0, logits) - labels * logits) * np.where(labels == 1, 0.75, 1.5)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("clip_norm", [None, 1e-3])
def test_the_norm_of_the_gradient_is_told_before_clipping_and_unscaled(clip_norm, mixed):
    step, model = linear_step({"optimizer.gradient_clip_norm": clip_norm}, mixed=mixed)
    batch = linear_batch()
    means = batch["image"].numpy().mean((1, 2)) / 255
    logits = 2 * means.sum(1)  # of class 1 before class 0
    slopes = (1 / (1 + np.exp(-logits)) - LABELS) * np.where(np.array(LABELS) == 1, 0.75, 1.5) * PADDED / 3
    # The slopes of the two logits are opposite, so each column of the kernel has the same norm.
    expected = np.sqrt(2) * np.linalg.norm([*(means * slopes[:, None]).sum(0), slopes.sum()])
    before = np.concatenate([weight.ravel() for weight in model.get_weights()])
    result = step.update(batch, tf.constant([0, 0]), tf.constant(3.0), tf.constant(1.0))
    assert float(result.gradient_norm) == pytest.approx(expected, rel=1e-4)
    moved = np.linalg.norm(np.concatenate([weight.ravel() for weight in model.get_weights()]) - before)
    assert moved == pytest.approx(min(expected, clip_norm or expected), rel=1e-3)


@pytest.mark.parametrize("options", [{"mixup": 0.5}, {"cutmix": 1.0}])
def test_a_mixed_image_has_the_loss_of_both_labels_and_padding_none(options):
    step, _ = linear_step({f"augmentation.{name}": value for name, value in options.items()})
    batch, seed = linear_batch(), tf.constant([3, 4])
    images, own = mix(tf.cast(batch["image"], tf.float32), step.experiment.augmentation, seed)
    logits, own, labels = 2 * (images.numpy().mean((1, 2)) / 255).sum(1), own.numpy(), np.array(LABELS)
    losses = own * cross_entropy(logits, labels) + (1 - own) * cross_entropy(logits, np.roll(labels, -1))
    result = step.update(batch, seed, tf.constant(3.0), tf.constant(0.0))
    assert float(result.loss) == pytest.approx(float(losses @ PADDED), rel=1e-5)
    assert float(result.loss) != pytest.approx(float(cross_entropy(logits, labels) @ PADDED), rel=1e-2)


@pytest.mark.parametrize("mixed", [False, True])
def test_weights_are_averaged_aside_and_put_in_place_only_inside(mixed):
    step, model = linear_step(ema_decay=0.8, mixed=mixed)
    average = [weight.copy() for weight in model.get_weights()]
    for _ in range(3):
        step.update(linear_batch(), tf.constant([0, 0]), tf.constant(3.0), tf.constant(0.5))
        average = [0.8 * mean + 0.2 * weight for mean, weight in zip(average, model.get_weights(), strict=True)]
    own = model.get_weights()
    with averaged_weights(step.optimizer, step.variables):
        inside = model.get_weights()
    for found, expected in zip(inside, average, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert not np.allclose(inside[0], own[0])
    assert all(map(np.array_equal, model.get_weights(), own))
    plain, model = linear_step()
    with averaged_weights(plain.optimizer, plain.variables):
        assert all(map(np.array_equal, model.get_weights(), [np.array([[-1.0, 1.0]] * 3), np.zeros(2)]))
