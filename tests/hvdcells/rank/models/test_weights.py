"""Weights from other models: what fits is copied, what does not is refused by what differs."""

import numpy as np
import pytest

from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.experiment import Model
from hvdcells.rank.models import build_model
from hvdcells.rank.models.saved import save_model
from hvdcells.rank.models.weights import backbone_of

pytestmark = pytest.mark.tensorflow

A, B = ((100.0, 90.0, 110.0), (50.0, 40.0, 60.0)), ((30.0, 20.0, 10.0), (5.0, 4.0, 6.0))


def build(size=32, statistics=A, seed=0, **options):
    return build_model(Model(**options), size, *statistics, seed=seed)


@pytest.mark.parametrize(
    "backbone",
    [
        "small_cnn",
        pytest.param("mobilenet_v2", marks=pytest.mark.slow),
        pytest.param("resnet50", marks=pytest.mark.slow),
        "tests.hvdcells.rank.models.functions:keras3_features",
    ],
)
def test_a_model_goes_on_as_it_was_on_other_sizes_and_statistics(backbone, tmp_path):
    source, location = build(backbone=backbone, seed=1), str(tmp_path / "model.keras")
    save_model(source, location)
    for size in (32, 48):
        model = build(size, B, seed=2, backbone=backbone, weights=location)
        assert model.input_shape == (None, size, size, 3)
        assert all(np.array_equal(a, b) for a, b in zip(source.get_weights(), model.get_weights(), strict=True))
    # The same image gives the same logit: preprocessing came along.
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    model = build(32, B, seed=2, backbone=backbone, weights=location)
    np.testing.assert_allclose(model(images, training=False), source(images, training=False), atol=1e-6)


def test_preprocessing_of_the_new_dataset_can_be_asked_for(tmp_path):
    save_model(build(), str(tmp_path / "model.keras"))
    model = build(32, B, weights=str(tmp_path / "model.keras"), preprocessing="dataset")
    image = np.full((1, 32, 32, 3), 40, np.float32)
    np.testing.assert_allclose(model.get_layer("preprocess")(image)[0, 0, 0], [2, 5, 5], rtol=1e-5)


def test_a_transferred_model_can_be_the_source_of_another(tmp_path):
    first, second = str(tmp_path / "1.keras"), str(tmp_path / "2.keras")
    save_model(build(seed=1), first)
    save_model(build(40, B, weights=first), second)
    third = build(24, B, weights=second)
    np.testing.assert_allclose(third.get_layer("preprocess")(np.zeros((1, 2, 2, 3)))[0, 0, 0], [-2, -2.25, -110 / 60])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 0.5}, r"variable shape \(3, 3, 3, 12\), and the assigned value shape \(3, 3, 3, 24\)"),
        ({"normalization": "none"}, "22 arrays of weights where the model has 10"),
    ],
)
def test_other_models_are_refused_by_what_differs(options, words, tmp_path):
    save_model(build(), str(tmp_path / "model.keras"))
    with pytest.raises(UserError, match=words):
        build(weights=str(tmp_path / "model.keras"), **options)


@pytest.mark.parametrize("name", ["weights.h5", "all.weights.h5"])
@pytest.mark.parametrize("backbone", ["small_cnn", "tests.hvdcells.rank.models.functions:keras3_features"])
def test_weights_files_are_loaded_or_refused(name, backbone, tmp_path):
    if "keras3" in backbone and not name.endswith(".weights.h5"):
        pytest.skip("Keras 3 saves only .weights.h5")
    source = build(backbone=backbone, seed=1)
    backbone_of(source).save_weights(tmp_path / name)
    location = str(tmp_path / name)
    model = build(backbone=backbone, weights=location)
    for given, taken in zip(backbone_of(source).get_weights(), backbone_of(model).get_weights(), strict=True):
        assert np.array_equal(given, taken)
    with pytest.raises(UserError, match="does not fit the backbone"):
        build(backbone="mobilenet_v2", weights=location)
    if backbone == "small_cnn":
        with pytest.raises(UserError, match="does not fit the backbone"):
            build(width=0.5, weights=location)


@pytest.mark.parametrize("name", ["model.keras", "weights.h5"])
def test_files_of_other_formats_are_refused(name, tmp_path):
    (tmp_path / name).write_text("not a model")
    with pytest.raises(UserError, match=r"cannot be used|does not fit"):
        build(weights=str(tmp_path / name))


def test_weights_may_lie_at_an_address(tmp_path):
    source = build(seed=1)
    backbone_of(source).save_weights(tmp_path / "weights.h5")
    storage.write_bytes("memory://weights/weights.h5", (tmp_path / "weights.h5").read_bytes())
    save_model(source, "memory://run/model.keras")
    for location in ("memory://weights/weights.h5", "memory://run"):
        model = build(weights=location)
        assert np.array_equal(model.get_layer(index=2).get_weights()[0], source.get_layer(index=2).get_weights()[0])


def test_models_of_others_are_refused(tmp_path):
    import tf_keras

    tf_keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(32, 32, 3)).save(
        tmp_path / "model.keras"
    )
    with pytest.raises(UserError, match="cannot be used"):
        build(weights=str(tmp_path / "model.keras"))
