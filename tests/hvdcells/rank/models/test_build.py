"""Classifiers of every kind: their parts, what the backbone is given, and that they are saved whole."""

import importlib
import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from hvdcells.errors import UserError
from hvdcells.experiment import Experiment, Model
from hvdcells.experiment.backbones import application_names
from hvdcells.rank.models import build_model, load_model
from hvdcells.rank.models.applications import expected_input, rescales_inside
from hvdcells.rank.models.either_keras import keras_of
from hvdcells.rank.models.saved import save_model
from hvdcells.runs.first_weights import settle_model

pytestmark = pytest.mark.tensorflow

MEAN, STD, SIZE = (100.0, 90.0, 110.0), (50.0, 40.0, 60.0), 32
FUNCTIONS = "tests.hvdcells.rank.models.functions"
BACKBONES = [
    "small_cnn",
    "efficientnet_lite0",
    pytest.param("mobilenet_v2", marks=pytest.mark.slow),
    pytest.param("efficientnet_b0", marks=pytest.mark.slow),
    pytest.param("resnet50", marks=pytest.mark.slow),
    f"{FUNCTIONS}:keras3_features",
    f"{FUNCTIONS}:keras3_classifier",
    f"{FUNCTIONS}:tf_keras_features",
    f"{FUNCTIONS}:with_random_layers",
]


def images(batch=2, size=SIZE):
    return np.random.default_rng(0).integers(0, 256, (batch, size, size, 3)).astype(np.float32)


def build(backbone, **options):
    return build_model(Model(backbone=backbone, **options), SIZE, MEAN, STD, seed=0)


def test_all_applications_are_known_by_their_names():
    functions = inspect.getmembers(tf_keras.applications, inspect.isfunction)
    assert sorted(application_names().values()) == sorted(name for name, _ in functions)
    for name in ("mobilenet_v2", "efficientnet_b0", "resnet50", "densenet121", "resnet50_v2", "convnext_tiny", "vgg16"):
        assert name in application_names()


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_model_gives_a_logit_for_each_class_and_is_saved_whole(backbone, num_classes, tmp_path):
    if num_classes == 4 and "classifier" in backbone:
        with pytest.raises(UserError, match="gives one logit, where there are 4 classes"):
            build_model(Model(backbone=backbone), SIZE, MEAN, STD, seed=0, num_classes=4)
        return
    model = build_model(Model(backbone=backbone), SIZE, MEAN, STD, seed=0, num_classes=num_classes)
    logits = model(tf.constant(images()), training=False)
    assert logits.shape == (2, num_classes)
    assert logits.dtype == tf.float32
    save_model(model, str(tmp_path / "model.keras"))
    loaded = load_model(Model(backbone=backbone), str(tmp_path / "model.keras"))
    assert keras_of(loaded) is keras_of(model) is (keras if "keras3" in backbone or "random" in backbone else tf_keras)
    assert loaded.input_shape == (None, SIZE, SIZE, 3)
    np.testing.assert_allclose(loaded(tf.constant(images()), training=False), logits, atol=1e-6)


@pytest.mark.parametrize("function", ["keras3_classifier", "tf_keras_classifier"])
def test_the_one_logit_z_of_a_users_function_is_taken_as_nothing_and_z(function):
    model = build(f"{FUNCTIONS}:{function}")
    inside = next(layer for layer in model.layers if hasattr(layer, "layers") and layer.name != "preprocess")
    z = inside(model.get_layer("preprocess")(tf.constant(images())))
    logits = np.asarray(model(tf.constant(images()), training=False))
    np.testing.assert_allclose(logits, np.column_stack([np.zeros(2), np.asarray(z)[:, 0]]), atol=1e-5)


def test_a_users_function_may_give_the_logits_of_all_classes():
    backbone = f"{FUNCTIONS}:classifier_of_three"
    model = build_model(Model(backbone=backbone), SIZE, MEAN, STD, seed=0, num_classes=3)
    assert model.output_shape == (None, 3)
    assert model.get_layer("logit").count_params() == 0
    # For another number of classes they are features like others.
    assert build(backbone).get_layer("logit").count_params() == 3 * 2 + 2


@pytest.mark.parametrize("backbone", ["small_cnn", f"{FUNCTIONS}:keras3_features"])
def test_first_weights_are_decided_by_the_seed(backbone):
    one, again, other = (
        build_model(Model(backbone=backbone), SIZE, MEAN, STD, seed=s).get_weights() for s in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


MODULES = {getattr(tf_keras.applications, name).__module__: backbone for backbone, name in application_names().items()}


@pytest.mark.parametrize("backbone", MODULES.values())
def test_expected_input_is_what_preprocess_input_computes(backbone):
    module = importlib.import_module(getattr(tf_keras.applications, application_names()[backbone]).__module__)
    mean, std, is_bgr = expected_input(backbone)
    given = images()[..., ::-1] if is_bgr else images()
    np.testing.assert_allclose((given - mean) / std, module.preprocess_input(images()), atol=1e-4)


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "resnet50", "densenet121", "efficientnet_b0"])
def test_a_weights_file_of_an_application_gets_the_input_it_expects(backbone, tmp_path):
    reference = getattr(tf_keras.applications, application_names()[backbone])(
        include_top=False, weights=None, pooling="avg", input_shape=(SIZE, SIZE, 3)
    )
    reference.save_weights(tmp_path / "weights.h5")
    model = build(backbone, weights=str(tmp_path / "weights.h5"))
    module = importlib.import_module(getattr(tf_keras.applications, application_names()[backbone]).__module__)
    inside = tf_keras.Model(model.inputs, model.get_layer("dropout").input)
    expected = reference(module.preprocess_input(images()), training=False)
    np.testing.assert_allclose(inside(images(), training=False), expected, rtol=1e-3, atol=1e-4)


def test_imagenet_weights_are_taken_from_where_keras_keeps_them(tmp_path, monkeypatch):
    reference = tf_keras.applications.MobileNetV2(
        include_top=False, weights=None, pooling="avg", input_shape=(96, 96, 3), alpha=0.35
    )
    kept = tmp_path / ".keras/models"
    kept.mkdir(parents=True)
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96_no_top.h5"
    reference.save_weights(kept / name)
    monkeypatch.setenv("HOME", str(tmp_path))
    options = Model(backbone="mobilenet_v2", width=0.35, weights="imagenet")
    model = build_model(options, 96, MEAN, STD, seed=0)
    inside = tf_keras.Model(model.inputs, model.get_layer("dropout").input)
    given = images(size=96)
    expected = reference(given / 127.5 - 1, training=False)
    np.testing.assert_allclose(inside(given, training=False), expected, rtol=1e-3, atol=1e-4)
    # Other ranks load nothing and get the weights in the broadcast; what is before them is the same.
    (kept / name).unlink()
    other = build_model(options, 96, MEAN, STD, seed=0, load_weights=False)
    assert [w.shape for w in other.weights] == [w.shape for w in model.weights]
    prepared = [each.get_layer("preprocess")(given) for each in (model, other)]
    np.testing.assert_array_equal(*prepared)


def test_no_network_means_one_message_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))

    def refuse(*_, **__):
        raise OSError("Network is unreachable")

    monkeypatch.setattr("socket.create_connection", refuse)
    with pytest.raises(UserError, match=r"ImageNet weights of mobilenet_v2.*unreachable") as caught:
        build("mobilenet_v2", weights="imagenet")
    assert "~/.keras/models" in caught.value.remedy


@pytest.mark.parametrize("backbone", ["small_cnn", "resnet50", f"{FUNCTIONS}:keras3_features"])
def test_without_weights_the_backbone_is_given_the_channel_statistics_of_the_dataset(backbone):
    prepared = build(backbone).get_layer("preprocess")(tf.constant(images()))
    np.testing.assert_allclose(prepared, (images() - MEAN) / STD, atol=1e-4)


def test_preprocessing_none_hands_images_on_and_rescaling_backbones_always_get_them():
    prepared = build(f"{FUNCTIONS}:keras3_features", preprocessing="none").get_layer("preprocess")(
        tf.constant(images())
    )
    assert np.array_equal(prepared, images())
    assert rescales_inside("efficientnet_b0")
    prepared = build("efficientnet_b0").get_layer("preprocess")(tf.constant(images()))
    assert np.array_equal(prepared, images())
    with pytest.raises(UserError, match="preprocessing=dataset with efficientnet_b0"):
        build("efficientnet_b0", preprocessing="dataset")


@pytest.mark.parametrize(
    ("backbone", "words"),
    [
        (f"{FUNCTIONS}:ends_in_sigmoid", "ends in a sigmoid"),
        (f"{FUNCTIONS}:ends_in_softmax", "ends in a softmax"),
        (f"{FUNCTIONS}:for_other_sizes", r"inputs \(None, 99, 99, 3\)"),
        (f"{FUNCTIONS}:no_model", "int is no Keras model"),
        (f"{FUNCTIONS}:nothing", "nothing"),
        ("tests.hvdcells.rank.models.nowhere:nothing", "nowhere"),
        ("inception_v3", "cannot be built for 32×32"),
    ],
)
def test_what_does_not_fit_is_refused(backbone, words):
    with pytest.raises(UserError, match=words):
        build(backbone)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backbone": "mobilenet_v4"}, "no backbone 'mobilenet_v4'"),
        ({"backbone": "no_such_package.models:build"}, "no Python package 'no_such_package'"),
        ({"backbone": "resnet50", "width": 0.5}, "model.width=0.5 with resnet50"),
        ({"backbone": "small_cnn", "weights": "imagenet"}, "imagenet with small_cnn"),
        ({"backbone": "small_cnn", "weights": "/nothing/there"}, "no finished run"),
        ({"backbone": "small_cnn", "weights": "/nothing/there.keras"}, "no file"),
        ({"backbone": "small_cnn", "weights": "/nothing/there.h5"}, "no file"),
    ],
)
def test_the_driver_refuses_what_it_can_tell_without_tensorflow(options, words):
    with pytest.raises(UserError, match=words):
        settle_model(Experiment(model=Model(**options)))


def test_close_names_are_offered():
    with pytest.raises(UserError) as caught:
        settle_model(Experiment(model=Model(backbone="mobilnet_v2")))
    assert "mobilenet_v2" in caught.value.expected
