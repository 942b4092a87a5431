"""Whole runs that start from the weights of others, and with models of either Keras."""

import numpy as np
import pytest

import hvdcells
from hvdcells.errors import UserError
from hvdcells.experiment import Data, Experiment, Model, Optimizer, Training, Transfer
from hvdcells.spark.backends import InProcess
from tests.small_dataset import write_small_dataset

pytestmark = pytest.mark.tensorflow

GROUPS = {"train": [[12, 12], [8]], "validation": [[8, 8]], "test": [[8]]}
KERAS3 = "tests.hvdcells.rank.models.functions:keras3_features"


def experiment_of(epochs=1, transfer=None, size=None, **model):
    return Experiment(
        data=Data(batch_size=8, input_size=size),
        model=Model(**{"width": 0.5, **model}),
        transfer=transfer or Transfer(),
        optimizer=Optimizer(learning_rate=0.1),
        training=Training(epochs=epochs),
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_small_dataset(tmp_path_factory.mktemp("dataset"), GROUPS)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Another dataset: other images, other size, other channel statistics."""
    folder = tmp_path_factory.mktemp("other")
    dataset = write_small_dataset(folder, GROUPS, image_size=32, seed=1)
    update = {"channel_mean": (40.0, 50.0, 60.0), "channel_std": (20.0, 30.0, 10.0)}
    (folder / "manifest.json").write_text(dataset.manifest.model_copy(update=update).to_json())
    return hvdcells.Dataset.open(folder)


@pytest.fixture(scope="module")
def source(dataset, tmp_path_factory):
    return hvdcells.train(dataset, tmp_path_factory.mktemp("runs") / "source", experiment_of(), backend=InProcess())


def models(*runs):
    from hvdcells.rank.models import load_model

    return [load_model(run.read_experiment().model, run.model) for run in runs]


def test_a_run_starts_from_another_with_other_size_and_statistics(source, other, tmp_path):
    transfer = Transfer(head_epochs=1, fine_tune_from="conv4", freeze_batch_norm=True, fine_tune_rate_factor=0.5)
    experiment = experiment_of(3, transfer, weights=source.location)
    run = hvdcells.train(other, tmp_path / "run", experiment, backend=InProcess())
    lines = run.read_metrics()
    assert [line["phase"] for line in lines] == ["head", "all", "all"]
    assert lines[1]["learning_rate"] == pytest.approx(0.5 * 0.1 * 8 / 256)
    before, after = models(source, run)
    assert after.input_shape == (None, 32, 32, 3)
    for name in ("conv1", "norm1", "conv2", "norm2", "conv3", "norm3", "norm4"):
        layers = [model.layers[2].get_layer(name) for model in (before, after)]
        assert all(np.array_equal(*pair) for pair in zip(*(layer.get_weights() for layer in layers), strict=True))
    assert not np.array_equal(*(model.get_layer("logit").get_weights()[0] for model in (before, after)))
    image = np.full((1, 32, 32, 3), 60, np.float32)
    assert np.array_equal(before.get_layer("preprocess")(image), after.get_layer("preprocess")(image))
    assert hvdcells.evaluate(run).by_image["images"] == 8


def test_a_keras_3_model_is_trained_saved_and_evaluated(dataset, tmp_path):
    experiment = experiment_of(2, backbone=KERAS3, width=1)
    run = hvdcells.train(dataset, tmp_path / "run", experiment, backend=InProcess())
    best = run.read_metrics()[run.read_json(run.finished)["best_epoch"] - 1]["validation"]
    assert hvdcells.evaluate(run, split="validation").by_image["confusion_matrix"] == best["confusion_matrix"]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"width": 1.0}, "this model has width 1.0"),
        ({"backbone": "mobilenet_v2"}, "this model has backbone mobilenet_v2"),
    ],
)
def test_another_model_than_that_of_the_run_is_refused_at_once(source, dataset, tmp_path, model, words):
    experiment = experiment_of(weights=source.location, **model)
    with pytest.raises(UserError, match=words) as caught:
        hvdcells.train(dataset, tmp_path / "run", experiment, backend=InProcess())
    assert "--set model." in caught.value.remedy
    assert not (tmp_path / "run").exists()


def test_the_run_that_weights_come_from_is_not_written_over(source, dataset):
    with pytest.raises(UserError, match="where the run is to be made"):
        hvdcells.train(
            dataset, source.location, experiment_of(weights=source.location), backend=InProcess(), overwrite=True
        )
    assert source.read_json(source.finished)


def test_early_stopping_ends_the_last_phase_only(source, dataset, tmp_path):
    # Nothing changes, so nothing gets better: two epochs of the last phase are enough to see it.
    transfer = Transfer(head_epochs=3, freeze_batch_norm=True)
    experiment = experiment_of(9, transfer, weights=source.location).override(
        {"training.early_stopping_patience": 1, "training.monitor": "loss", "optimizer.learning_rate": 1e-12}
    )
    run = hvdcells.train(dataset, tmp_path / "run", experiment, backend=InProcess())
    assert [line["phase"] for line in run.read_metrics()] == ["head"] * 3 + ["all"] * 2


@pytest.mark.spark
@pytest.mark.ranks
@pytest.mark.parametrize("backbone", ["small_cnn", KERAS3])
def test_two_ranks_hold_the_same_weights_through_both_phases(spark, dataset, source, tmp_path, backbone):
    weights = source.location if backbone == "small_cnn" else None
    transfer = Transfer(
        head_epochs=1, augment_head=False
    )  # the small CNN's features are computed once, over both ranks
    experiment = experiment_of(2, transfer, backbone=backbone, weights=weights).override(
        {"data.batch_size": 4, "model.width": 0.5 if backbone == "small_cnn" else 1}
    )
    # `train` compares the digests of the ranks' weights.
    run = hvdcells.train(dataset, tmp_path / "run", experiment, workers=2)
    assert [line["phase"] for line in run.read_metrics()] == ["head", "all"]


@pytest.mark.spark
@pytest.mark.ranks
def test_a_rank_that_cannot_have_its_weights_says_so(spark, dataset, tmp_path):
    (tmp_path / "weights.h5").write_text("no weights")
    experiment = experiment_of(weights=str(tmp_path / "weights.h5"))
    with pytest.raises(UserError, match="does not fit the backbone"):
        hvdcells.train(dataset, tmp_path / "run", experiment, workers=2)
