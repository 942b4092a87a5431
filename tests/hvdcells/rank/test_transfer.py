"""What phases train: frozen weights stay bit by bit, with either Keras."""

import horovod.tensorflow as hvd
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from hvdcells.errors import UserError
from hvdcells.experiment import Augmentation, Experiment, Model, Optimizer, Transfer
from hvdcells.experiment.phases import Phase
from hvdcells.rank.models import build_model
from hvdcells.rank.models.either_keras import inner_layers, moving_statistics
from hvdcells.rank.models.weights import backbone_of
from hvdcells.rank.transfer import begin_phase, freeze

pytestmark = pytest.mark.tensorflow

SIZE = 32
HEAD, REST = Phase("head", 0, 1), Phase("all", 1, 1)
KERAS3 = "tests.hvdcells.rank.models.functions:keras3_features"
BACKBONES = {"small_cnn": "conv3", "mobilenet_v2": "block_13_expand", KERAS3: "second"}


@pytest.fixture(scope="module", autouse=True)
def horovod():
    hvd.init()


def experiment_of(backbone, **transfer):
    return Experiment(
        # What is trained matters here, not where the weights come from.
        model=Model(backbone=backbone, width=0.35 if backbone == "mobilenet_v2" else 1),
        augmentation=Augmentation(flips=False, quarter_turns=False),
        optimizer=Optimizer(name="adam", learning_rate=0.01),
    ).model_copy(update={"transfer": Transfer(**transfer)})


def build(experiment):
    return build_model(experiment.model, SIZE, (100.0,) * 3, (50.0,) * 3, seed=0)


def update(step, times=2):
    rng = np.random.default_rng(0)
    for _ in range(times):
        images = rng.integers(0, 256, (8, SIZE, SIZE, 3), dtype=np.uint8)
        labels = (np.arange(8) % 2).astype(np.float32)
        batch = {"image": tf.constant(images), "label": tf.constant(labels), "weight": tf.ones(8)}
        result = step.update(batch, tf.constant([0, 0]), tf.constant(8.0), tf.constant(0.01))
    return float(result.loss)


def weights_by_layer(model):
    layers = [*inner_layers(backbone_of(model)), model.get_layer("logit")]
    return {layer.name: layer.get_weights() for layer in layers if layer.weights}


def changed(before, after):
    return {name for name in before if not all(map(np.array_equal, before[name], after[name]))}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_head_alone_then_the_backbone_from_a_layer_on(backbone):
    experiment = experiment_of(backbone, head_epochs=1, fine_tune_from=BACKBONES[backbone])
    model = build(experiment)
    before = weights_by_layer(model)
    update(begin_phase(HEAD, model, experiment, (1.0, 1.0), num_groups=4))  # of two gradients
    after_head = weights_by_layer(model)
    assert changed(before, after_head) == {"logit"}
    assert moving_statistics(model) == []

    step = begin_phase(REST, model, experiment, (1.0, 1.0), num_groups=1)
    update(step)
    layers = list(inner_layers(backbone_of(model)))
    names = [layer.name for layer in layers]
    trained = {*names[names.index(BACKBONES[backbone]) :], "logit"} & set(before)
    assert changed(after_head, weights_by_layer(model)) == trained
    # Slots of the head and of what is newly trained, and of nothing else.
    assert sum(np.prod(v.shape) for v in step.variables) == sum(np.prod(v.shape) for v in model.trainable_variables)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_frozen_batch_normalisation_keeps_its_statistics_while_the_rest_trains(backbone):
    experiment = experiment_of(backbone, freeze_batch_norm=True)
    model = build(experiment)
    before = weights_by_layer(model)
    update(begin_phase(REST, model, experiment, (1.0, 1.0), num_groups=1))
    kinds = {layer.name: type(layer).__name__ for layer in inner_layers(backbone_of(model))}
    touched = changed(before, weights_by_layer(model))
    assert touched == {name for name in before if kinds.get(name) != "BatchNormalization"}
    assert moving_statistics(model) == []


@pytest.mark.parametrize("backbone", BACKBONES)
def test_without_transfer_all_trains(backbone):
    experiment = experiment_of(backbone)
    model = build(experiment)
    before = weights_by_layer(model)
    num_statistics = 2 * sum(type(each).__name__ == "BatchNormalization" for each in inner_layers(backbone_of(model)))
    assert len(moving_statistics(model)) == num_statistics > 0
    update(begin_phase(Phase("all", 0, 1), model, experiment, (1.0, 1.0), num_groups=1))
    assert changed(before, weights_by_layer(model)) == set(before)


@pytest.mark.parametrize(("fraction", "frozen"), [(1.0, 0), (0.5, 8), (0.06, 16)])
def test_a_share_of_the_layers_is_counted_from_the_end(fraction, frozen):
    model = build(experiment_of("small_cnn"))
    layers = list(inner_layers(backbone_of(model)))
    freeze(model, REST, Transfer(fine_tune_fraction=fraction))
    num_layers = len(layers)
    expected = [index >= num_layers - round(np.ceil(fraction * num_layers)) for index in range(num_layers)]
    assert [layer.trainable for layer in layers] == expected
    assert expected.count(False) == pytest.approx(frozen, abs=1)


def test_a_layer_that_is_not_there_is_told_before_the_head_is_trained():
    with pytest.raises(UserError, match="no layer 'conv9'") as caught:
        freeze(build(experiment_of("small_cnn")), HEAD, Transfer(head_epochs=1, fine_tune_from="conv9"))
    assert "conv4" in caught.value.expected


def test_a_whole_classifier_has_no_head_of_its_own_to_train():
    experiment = experiment_of("tests.hvdcells.rank.models.functions:keras3_classifier", head_epochs=1)
    with pytest.raises(UserError, match="nothing to train"):
        begin_phase(HEAD, build(experiment), experiment, (1.0, 1.0), num_groups=1)


@pytest.mark.parametrize("backbone", ["tests.hvdcells.rank.models.functions:keras3_classifier", KERAS3])
def test_a_keras_3_model_learns(backbone):
    experiment = experiment_of(backbone)
    step = begin_phase(Phase("all", 0, 1), build(experiment), experiment, (1.0, 1.0), num_groups=1)
    rng = np.random.default_rng(0)
    labels = (np.arange(16) % 2).astype(np.float32)
    images = (rng.integers(0, 100, (16, SIZE, SIZE, 3)) + 100 * labels[:, None, None, None]).astype(np.uint8)
    batch = {"image": tf.constant(images), "label": tf.constant(labels), "weight": tf.ones(16)}
    losses = [
        float(step.update(batch, tf.constant([0, 0]), tf.constant(16.0), tf.constant(0.02)).loss) for _ in range(30)
    ]
    assert losses[-1] < 0.3 * losses[0]


@pytest.fixture
def mixed_precision():
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    yield
    tf_keras.mixed_precision.set_global_policy("float32")


@pytest.mark.usefixtures("mixed_precision")
@pytest.mark.parametrize("backbone", ["small_cnn", KERAS3])
def test_mixed_precision_computes_in_float16_whatever_the_keras(backbone):
    experiment = experiment_of(backbone).override({"training.mixed_precision": True})
    model = build(experiment)
    step = begin_phase(Phase("all", 0, 1), model, experiment, (1.0, 1.0), num_groups=1)
    convolutions = [layer for layer in inner_layers(backbone_of(model)) if "Conv" in type(layer).__name__]
    assert {layer.compute_dtype for layer in convolutions} == {"float16"}
    assert {variable.dtype for variable in step.variables} == {tf.float32}
    assert np.isfinite(update(step))


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_weight_decay_leaves_out_biases_and_normalisation(name, mixed):
    options = Optimizer(name=name, weight_decay=0.5, momentum=0)
    experiment = experiment_of("small_cnn").model_copy(update={"optimizer": options})
    experiment = experiment.override({"training.mixed_precision": mixed})
    model = build(experiment)
    step = begin_phase(Phase("all", 0, 1), model, experiment, (1.0, 1.0), num_groups=1)
    for variable in step.variables:
        variable.assign(tf.ones_like(variable))
    step.optimizer.learning_rate.assign(0.1)
    step.optimizer.apply_gradients([(tf.zeros_like(v), v) for v in step.variables])
    for variable in step.variables:
        expected = 1 if len(variable.shape) == 1 else 1 - 0.5 * 0.1
        np.testing.assert_allclose(variable, tf.fill(variable.shape, expected), rtol=1e-6)
    assert {len(v.shape) for v in step.variables} == {1, 2, 4}
