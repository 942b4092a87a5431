import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hvdcells
from hvdcells.driver.cross_validation import spread
from hvdcells.images.prepare import ImagePreparation
from hvdcells.rank.input.reader import open_reader
from hvdcells.runs.decision import read_decision
from hvdcells.runs.directory import RunDirectory
from hvdcells.runs.predictions import read_predictions
from hvdcells.scores.classification import classification_scores
from hvdcells.scores.evaluation import Evaluation
from hvdcells.scores.prediction_table import class_probabilities, probabilities_of
from hvdcells.spark.backends import InProcess
from tests.hvdcells.driver.interrupted import Interrupted
from tests.small_dataset import write_small_dataset

EXPERIMENT = hvdcells.recipes.small_cnn().override(
    {"training.epochs": 1, "data.input_size": 24, "data.batch_size": 8, "model.width": 0.2}
)
NAMES = ("hem", "all")
FILES = [[8, 4], [6], [8], [4, 4], [10], [5]]


def write_folds(folder):
    return write_small_dataset(folder, {"train": FILES}, num_folds=3)


@pytest.fixture(scope="module")
def validated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds")
    dataset = write_folds(folder / "dataset")
    said = []
    result = hvdcells.cross_validate(dataset, folder / "runs", EXPERIMENT, backend=InProcess(), say=said.append)
    return dataset, result, said


@pytest.mark.tensorflow
def test_each_image_is_predicted_once_by_a_model_that_did_not_train_on_its_group(validated):
    dataset, result, said = validated
    pooled = pd.read_parquet(result.predictions)
    rows = dataset.read_rows("train", ["image_id", "group", "fold"]).set_index("image_id")
    assert sorted(pooled["image_id"]) == sorted(rows.index)
    assert pooled.set_index("image_id")["fold"].equals(rows.loc[pooled["image_id"], "fold"].astype("int64"))
    assert rows.groupby("group")["fold"].nunique().max() == 1
    assert len(said) == 3


@pytest.mark.tensorflow
def test_scores_are_those_of_the_predictions(validated):
    _, result, _ = validated
    pooled = pd.read_parquet(result.predictions)
    for scores in result.per_fold:
        part = pooled[pooled["fold"] == scores["fold"]]
        expected = classification_scores(part["label"].to_numpy(), class_probabilities(part, NAMES), (1,))
        assert scores["weighted_f1"] == expected["weighted_f1"]
        assert scores["auroc"] == pytest.approx(expected["auroc"])
    expected = classification_scores(pooled["label"].to_numpy(), class_probabilities(pooled, NAMES), (1,))
    assert result.pooled.by_image["confusion_matrix"] == expected["confusion_matrix"]
    values = [scores["weighted_f1"] for scores in result.per_fold]
    assert result.spread["weighted_f1"].mean == pytest.approx(np.mean(values))
    assert result.spread["weighted_f1"].std == pytest.approx(np.std(values, ddof=1))
    kept = json.loads(Path(result.summary).read_text())
    assert kept["over_folds"]["weighted_f1"]["mean"] == result.spread["weighted_f1"].mean
    assert kept["pooled_out_of_fold"]["by_image"]["images"] == 49
    assert "SYNTHETIC" in kept["notice"]


@pytest.mark.tensorflow
def test_the_folds_are_one_model_whose_probabilities_are_the_mean_and_which_needs_none_of_them(validated, tmp_path):
    dataset, result, _ = validated
    ensemble = RunDirectory.at(tmp_path / "elsewhere")
    shutil.copytree(Path(result.location) / "ensemble", ensemble.location)
    assert len(ensemble.models()) == 3
    evaluation = hvdcells.evaluate(ensemble, split="train", tta=8)
    assert evaluation.name == "train-tta8"
    assert Evaluation.from_dict(ensemble.read_json(ensemble.evaluation("train-tta8"))).num_views == 8
    plain = hvdcells.evaluate(ensemble, split="train")
    assert plain.num_views == 1
    averaged, turned = (
        class_probabilities(read_predictions(ensemble, name), NAMES) for name in ("train", "train-tta8")
    )
    from hvdcells.rank.models import load_model

    members = []
    for fold in result.per_fold:
        run = RunDirectory.at(fold["run"])
        model = load_model(EXPERIMENT.model, run.model)
        with open_reader(dataset, "train", range(len(FILES) + 2), input_size=24, num_threads=1) as reader:
            pixels = np.concatenate([group.image.copy() for group in reader])
        members.append(probabilities_of(model(pixels.astype(np.float32), training=False).numpy()))
    np.testing.assert_allclose(averaged, np.mean(members, axis=0), atol=1e-5)
    assert np.abs(turned - averaged).max() > 1e-4
    decision, _ = read_decision(ensemble)
    assert decision.class_names == NAMES
    page = Path(ensemble.report).read_text()
    assert "An ensemble of 3 runs" in page
    assert "8 flips and turns of each image averaged" in page

    given = ImagePreparation(crop=0, image_size=24, input_size=24)
    Path(ensemble.preparation).write_text(given.model_dump_json())
    told = hvdcells.Classifier.load(ensemble, tta=8).predict(list(pixels[:5]))
    np.testing.assert_allclose(told[["probability_hem", "probability_all"]], turned[:5], atol=1e-6)
    with pytest.raises(hvdcells.UserError, match="tta=3"):
        hvdcells.evaluate(ensemble, split="train", tta=3)


def test_spread_worked_out_by_hand():
    # Mean 0.8, deviation 0.1; t(0.975, 2) = 4.3027.
    found = spread([0.7, 0.8, 0.9])
    assert (found.mean, found.std) == pytest.approx((0.8, 0.1))
    assert (found.low, found.high) == pytest.approx(
        (0.8 - 4.3027 * 0.1 / 3**0.5, 0.8 + 4.3027 * 0.1 / 3**0.5), abs=1e-4
    )
    assert spread([0.7, 0.8, 0.9], largest=1.0).high == 1
    assert spread([0.5, None, 0.7]).folds_without == 1
    assert spread([0.5, None, 0.7]).mean == pytest.approx(0.6)
    assert spread([None, None]).mean is None
    assert spread([0.5]).std is None


@pytest.mark.tensorflow
def test_it_goes_on_where_it_was_interrupted(tmp_path):
    dataset = write_folds(tmp_path / "dataset")

    with pytest.raises(KeyboardInterrupt):
        hvdcells.cross_validate(dataset, tmp_path / "runs", EXPERIMENT, backend=Interrupted(), say=lambda _: None)
    first = tmp_path / "runs/fold-0/model.keras"
    written = first.stat().st_mtime_ns
    result = hvdcells.cross_validate(dataset, tmp_path / "runs", EXPERIMENT, backend=InProcess(), say=lambda _: None)
    assert first.stat().st_mtime_ns == written
    assert len(result.per_fold) == 3
    other = EXPERIMENT.override({"seed": 1})
    with pytest.raises(hvdcells.UserError, match="planned otherwise"):
        hvdcells.cross_validate(dataset, tmp_path / "runs", other, backend=InProcess())


def test_what_cannot_be_cross_validated_is_refused_before_anything_is_written(tmp_path):
    plain = write_small_dataset(tmp_path / "plain", {"train": [[8]], "validation": [[8]]})
    with pytest.raises(hvdcells.UserError, match=r"(?s)no folds.*k-fold"):
        hvdcells.cross_validate(plain, tmp_path / "runs", EXPERIMENT, backend=InProcess())
    dataset = write_folds(tmp_path / "dataset")
    of_one_fold = EXPERIMENT.override({"data.validation_fold": 1})
    with pytest.raises(hvdcells.UserError, match="takes each in turn"):
        hvdcells.cross_validate(dataset, tmp_path / "runs", of_one_fold, backend=InProcess())
    with pytest.raises(hvdcells.UserError, match=r"fold 0: 40 workers"):
        hvdcells.cross_validate(dataset, tmp_path / "runs", EXPERIMENT, workers=40)
    assert not (tmp_path / "runs").exists()


@pytest.mark.tensorflow
def test_a_run_of_one_fold_is_evaluated_on_that_fold(validated):
    _, result, _ = validated
    run = result.per_fold[2]["run"]
    evaluation = hvdcells.evaluate(run, split="validation")
    assert evaluation.by_image["images"] == 13
    assert evaluation.by_image["confusion_matrix"] == result.per_fold[2]["confusion_matrix"]
