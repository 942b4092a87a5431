"""The head on features that were computed once: the same images in the same order, and the same numbers."""

import horovod.tensorflow as hvd
import numpy as np
import pytest

import hvdcells
from hvdcells.data.shard_plan import plan_epoch
from hvdcells.data.subset import with_training_share
from hvdcells.experiment import NO_AUGMENTATION, Data, Experiment, Model, Optimizer, Training, Transfer, recipes
from hvdcells.experiment.phases import Phase
from hvdcells.rank.frozen_features import FrozenFeatures, features_stay
from hvdcells.rank.input.batches import rank_batches
from hvdcells.rank.models import build_model, load_model
from hvdcells.rank.models.weights import backbone_of
from hvdcells.rank.narrator import Narrator
from hvdcells.spark.backends import InProcess
from tests.small_dataset import write_small_dataset

pytestmark = pytest.mark.tensorflow

STATISTICS = (100.0, 90.0, 110.0), (50.0, 50.0, 50.0)
HEAD, REST = Phase("head", 0, 1), Phase("all", 1, 1)
BALANCED = {"data.sampling": "balanced", "training.class_weights": "none"}
SAID = "features of {} training and 16 validation images computed once"


def build(options, size, seed=0, **more):
    return build_model(options, size, *STATISTICS, seed=seed, num_classes=2, **more)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    groups = {"train": [[12, 12], [9, 8]], "validation": [[8, 8]], "test": [[8]]}
    return write_small_dataset(tmp_path_factory.mktemp("dataset"), groups)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    model = build(Model(width=0.5), 24, seed=1)
    file = tmp_path_factory.mktemp("weights") / "backbone.h5"
    backbone_of(model).save_weights(file)
    return str(file)


def experiment_of(weights, epochs=3, head_epochs=3, **changes):
    return Experiment(
        data=Data(batch_size=8, shuffle_buffer=16),
        model=Model(width=0.5, weights=weights, dropout=0.3),
        transfer=Transfer(head_epochs=head_epochs, augment_head=False),
        optimizer=Optimizer(name="sgd", learning_rate=0.2),
        training=Training(epochs=epochs, select="last"),
    ).override(changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"data.train_fraction": 0.6, "training.accumulation_steps": 2, **BALANCED},
        {"training.epochs": 4},  # the last of them trains the backbone, on augmented images
    ],
)
def test_the_numbers_are_those_of_computing_them_each_time(weights, dataset, tmp_path, capfd, changes):
    experiment = experiment_of(weights, **changes)
    told, lines, models = [], [], []
    for name, cache_bytes in {"once": 1 << 30, "each-time": 0}.items():
        run = hvdcells.train(
            dataset, tmp_path / name, experiment.override({"data.cache_bytes": cache_bytes}), backend=InProcess()
        )
        told.append(capfd.readouterr().out)
        lines.append(run.read_metrics())
        models.append(load_model(run.read_experiment().model, run.model))
    split = with_training_share(dataset, experiment).split("train")
    num_images, num_uses = split.images, split.images
    if experiment.data.sampling == "balanced":
        num_uses = 2 * max(split.images_per_class.values())
        assert num_uses > num_images
        assert f"used {num_uses} times so that classes are balanced" in told[0]
    assert SAID.format(num_images) in told[0]
    assert "computed once" not in told[1]
    for once, each_time in zip(*lines, strict=True):
        assert once["phase"] == each_time["phase"]
        assert once["images"] == each_time["images"] == num_uses
        assert once["loss"] == pytest.approx(each_time["loss"], rel=1e-4)
        assert once["validation"]["loss"] == pytest.approx(each_time["validation"]["loss"], rel=1e-4)
        assert once["validation"]["confusion_matrix"] == each_time["validation"]["confusion_matrix"]
    for once, each_time in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(once, each_time, rtol=1e-3, atol=1e-5)
    # They are not those of standing still.
    assert abs(lines[0][2]["loss"] / lines[0][0]["loss"] - 1) > 0.01


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_batches_hold_the_images_that_reading_would_bring(weights, dataset, num_ranks):
    experiment = experiment_of(weights, **{"data.train_fraction": 0.8})
    dataset = with_training_share(dataset, experiment)
    num_images = dataset.split("train").images
    model = build(experiment.model, 24)
    rows = dataset.rows_per_row_group("train")
    plans = [plan_epoch(rows, num_ranks, 4, seed=experiment.seed, epoch=epoch) for epoch in (2, 3)]
    for rank in range(num_ranks):
        features = FrozenFeatures(model, dataset, experiment, rank, num_ranks)
        features._of_split["train"] = np.arange(num_images, dtype=np.float32)[:, np.newaxis]
        features._labels = dataset.read_rows("train", ["label"])["label"].to_numpy()
        options = {"input_size": 24, "num_threads": 1, "shuffle_buffer": 16, "seed": experiment.seed}
        with rank_batches(dataset, "train", plans, rank, **options) as read:
            reading = iter(read)
            for plan in plans:
                made = list(features.batches(plan))
                assert len(made) == plan.num_steps
                for batch in made:
                    expected = next(reading)
                    for name in ("label", "weight", "row"):
                        assert np.array_equal(batch[name], expected[name])
                        assert batch[name].dtype == expected[name].dtype
                    real = batch["weight"].numpy() == 1
                    assert np.array_equal(batch["image"][:, 0][real], batch["row"][real])


def test_a_run_that_was_stopped_in_the_heads_epochs_goes_on(weights, dataset, tmp_path, monkeypatch, capfd):
    experiment = experiment_of(weights, epochs=4)
    whole = hvdcells.train(dataset, tmp_path / "whole", experiment, backend=InProcess())
    tell = Narrator.epoch_done

    def stop_after_two(self, epoch, *rest):
        if epoch == 2:
            raise KeyboardInterrupt
        tell(self, epoch, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Narrator, "epoch_done", stop_after_two)
        with pytest.raises(KeyboardInterrupt):
            hvdcells.train(dataset, tmp_path / "stopped", experiment, backend=InProcess())
    capfd.readouterr()
    run = hvdcells.train(dataset, tmp_path / "stopped", backend=InProcess(), resume=True)
    assert SAID.format(41) in capfd.readouterr().out
    assert [line["epoch"] for line in run.read_metrics()] == [1, 2, 3, 4]
    for again, expected in zip(
        *(load_model(each.read_experiment().model, each.model).get_weights() for each in (run, whole)), strict=True
    ):
        np.testing.assert_array_equal(again, expected)


def test_features_are_computed_once_only_where_they_stay_the_same(weights, dataset):
    hvd.init()
    experiment = experiment_of(weights)
    model = build(experiment.model, 24)
    assert features_stay(experiment, HEAD, dataset, model)
    assert not features_stay(experiment, REST, dataset, model)
    augmented = experiment.override({"transfer.augment_head": True})
    assert not features_stay(augmented, HEAD, dataset, model)
    assert features_stay(augmented.model_copy(update={"augmentation": NO_AUGMENTATION}), HEAD, dataset, model)
    num_bytes = (41 + 16) * 64 * 4
    assert features_stay(experiment.override({"data.cache_bytes": num_bytes}), HEAD, dataset, model)
    assert not features_stay(experiment.override({"data.cache_bytes": num_bytes - 1}), HEAD, dataset, model)
    function = experiment.override({"model.backbone": "tests.hvdcells.rank.models.functions:keras3_features"})
    assert not features_stay(function, HEAD, dataset, model)
    # Its blocks are dropped at random in training, whether frozen or not.
    drops = build(Model(backbone="efficientnet_b0"), 32)
    assert not features_stay(experiment, HEAD, dataset, drops)


@pytest.mark.parametrize("name", ["linear_probe", "efficientnet_lite0_transfer"])
def test_the_recipes_features_stay_in_the_heads_epochs(name, dataset):
    experiment = recipes.by_name(name)
    model = build(experiment.model, 32, load_weights=False)
    assert features_stay(experiment, HEAD, dataset, model)
    assert experiment.augmentation_of("head") == NO_AUGMENTATION
    assert experiment.transfer.head_epochs > 0
