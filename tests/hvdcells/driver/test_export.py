"""`export` with real models: the file gives what the run gives, and is described."""

import json

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import hvdcells
from hvdcells.driver import export as driver
from hvdcells.errors import UserError
from hvdcells.inference import trial
from hvdcells.inference.exported import read_exported
from hvdcells.runs.directory import RunDirectory
from hvdcells.spark.backends import InProcess
from launch.cli import app
from tests.etl.cells import RecordingListener
from tests.small_dataset import write_small_dataset

pytestmark = pytest.mark.tensorflow

EXPERIMENT = hvdcells.recipes.small_cnn().override(
    {"training.epochs": 1, "data.input_size": 16, "data.batch_size": 8, "model.width": 0.2}
)
CROP = 40


def train(folder, experiment, **changes):
    write_small_dataset(folder / "dataset", {"train": [[16]], "validation": [[16]]}, **changes)
    manifest = folder / "dataset" / "manifest.json"
    written = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**written, "options": {"crop": CROP}}))
    return hvdcells.train(folder / "dataset", folder / "run", experiment, backend=InProcess())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(tmp_path_factory.mktemp("export"), EXPERIMENT)


def calibrated(run, images):
    columns = [f"calibrated_{name}" for name in ("hem", "all")]
    return hvdcells.Classifier.load(run).predict(list(images))[columns].to_numpy()


def whole_images(count=6):
    rng = np.random.default_rng(1)
    return np.stack(
        [cv2.GaussianBlur(rng.integers(0, 256, (61, 50, 3), dtype=np.uint8), (0, 0), 2) for _ in range(count)]
    )


def test_an_onnx_file_takes_whole_images_and_gives_what_predict_gives(run, tmp_path):
    import onnxruntime

    listener = RecordingListener()
    described = hvdcells.export(run, tmp_path / "out", listener=listener)
    assert described == read_exported(tmp_path / "out")
    assert any("differ from the Keras model by at most" in text for text in listener.said)

    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"))
    images = whole_images()
    probabilities, embedding = session.run(["probabilities", "embedding"], {"images": images})
    np.testing.assert_allclose(probabilities, calibrated(run, images), atol=1e-4)
    assert embedding.shape == (6, described.embedding_size)
    prepared = np.stack([described.preparation.of_pixels(image) for image in images])
    np.testing.assert_allclose(session.run(["probabilities"], {"images": prepared})[0], probabilities, atol=1e-4)

    card = (tmp_path / "out" / "card.md").read_text()
    assert "Not a medical device" in card
    assert "SYNTHETIC" in card
    assert f"{described.scores['validation']['weighted_f1'].value:.3f}" in card


@pytest.mark.parametrize(
    ("to", "file", "takes"),
    [
        ("savedmodel", "savedmodel/saved_model.pb", "whole images"),
        ("tflite", "model.tflite", "prepared images"),
    ],
)
def test_other_formats_are_tried_and_described(run, tmp_path, to, file, takes):
    listener = RecordingListener()
    described = hvdcells.export(run, tmp_path / "out", to=to, listener=listener)
    assert (tmp_path / "out" / file).is_file()
    assert (described.format, described.takes) == (to, takes)
    [told] = [text for text in listener.said if text.startswith("Tried on 16 validation images")]
    assert ("where the file crops" in told) == (takes == "whole images")


def test_a_keras_file_takes_prepared_images(run, tmp_path):
    import tf_keras

    described = hvdcells.export(run, tmp_path / "out", to="keras")
    assert described.takes == "prepared images"
    images = whole_images()
    prepared = np.stack([described.preparation.of_pixels(image) for image in images])
    found = tf_keras.models.load_model(tmp_path / "out" / "model.keras").predict(prepared, verbose=0)
    np.testing.assert_allclose(found, calibrated(run, images), atol=1e-4)


def test_eight_bits_are_told_what_they_cost_and_gain(run, tmp_path):
    listener = RecordingListener()
    described = hvdcells.export(run, tmp_path / "out", quantize="int8", listener=listener)
    assert described.quantized == "int8"
    [told] = [text for text in listener.said if text.startswith("8 bits: weighted F1 by image")]
    assert "by subject" in told
    assert "ms an image" in told


def one_logit(input_size):
    import keras

    inputs = keras.Input((input_size, input_size, 3))
    return keras.Model(inputs, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(inputs)))


def test_a_function_of_one_logit_and_three_classes_are_exported(tmp_path):
    ours = {"model.backbone": f"{__name__}:one_logit", "model.width": 1.0}
    own = train(tmp_path / "own", EXPERIMENT.override(ours))
    with pytest.raises(UserError, match="trust"):
        hvdcells.export(RunDirectory.at(own.location), tmp_path / "refused")
    described = hvdcells.export(own.location, tmp_path / "one", trust_code=[__name__])
    assert (described.embedding_size, described.class_names) == (None, ("hem", "all"))
    three = train(tmp_path / "three", EXPERIMENT, class_names=("a", "b", "c"), positive_classes=("c",))
    assert hvdcells.export(three, tmp_path / "of-three").class_names == ("a", "b", "c")


def test_what_differs_from_the_model_is_not_written(run, tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "MOST_DIFFERENCE", -1.0)
    with pytest.raises(RuntimeError, match="differs from the Keras model"):
        hvdcells.export(run, tmp_path / "out", to="savedmodel")
    assert not (tmp_path / "out").exists()


def test_a_full_folder_a_missing_package_and_bits_of_another_format_are_refused(run, tmp_path, monkeypatch):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="already holds other files"):
        hvdcells.export(run, tmp_path)
    refused = CliRunner().invoke(
        app, ["export", run.location, str(tmp_path / "out"), "--to", "keras", "--quantize", "int8"]
    )
    assert isinstance(refused.exception, UserError)
    monkeypatch.setattr(driver, "_OF_EXTRA", ("no_such_package",))
    with pytest.raises(UserError, match=r"pip install 'hvdcells\[export\]'"):
        hvdcells.export(run, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_several_views_are_averaged_inside_the_file(run, tmp_path):
    described = hvdcells.export(run, tmp_path / "out", to="savedmodel", tta=8)
    assert described.num_views == 8
    with pytest.raises(UserError, match="of several models or views"):
        hvdcells.export(run, tmp_path / "keras", to="keras", tta=8)
