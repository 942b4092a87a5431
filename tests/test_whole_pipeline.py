"""The whole way of an image with real ranks: on real cells, on demonstration cells, and as the README tells it."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hvdcells
from etl.demo_cells.generator import synthesize
from etl.options import EtlOptions
from etl.pipeline import run_etl
from hvdcells.spark.backends import InProcess

pytestmark = [pytest.mark.spark, pytest.mark.ranks, pytest.mark.slow]

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT.parent / "shared/data/cnmc2019-sample"
SHORT = {"training.epochs": 2, "data.input_size": 48, "data.batch_size": 8, "model.width": 0.5}


@pytest.fixture(scope="module")
def demonstration(spark, tmp_path_factory):
    """A folder with a dataset of few demonstration cells, where the README expects it."""
    folder = tmp_path_factory.mktemp("demonstration")
    synthesize(folder / "images", num_subjects=8, images_per_subject=6)
    run_etl(spark, folder / "images", folder / "demo/dataset", EtlOptions(image_size=48))
    return folder


@pytest.fixture(scope="module")
def trained(spark, demonstration):
    experiment = hvdcells.recipes.small_cnn().override(SHORT)
    return hvdcells.train(demonstration / "demo/dataset", demonstration / "run", experiment, workers=2)


def test_a_run_holds_all_it_was_made_with_and_made(trained, demonstration):
    finished = trained.read_json(trained.finished)
    assert finished["ranks"] == 2
    assert finished["epochs"] == 2
    assert trained.read_experiment() == hvdcells.recipes.small_cnn().override(SHORT)
    assert trained.read_json(trained.run)["versions"]["tensorflow"]
    lines = trained.read_metrics()
    assert [line["epoch"] for line in lines] == [1, 2]
    images = hvdcells.Dataset.open(demonstration / "demo/dataset").split("train").images
    for line in lines:
        assert line["images"] == images
        assert len(line["compute_seconds"]) == len(line["communication_seconds"]) == 2
        assert line["slowest_rank"] in (0, 1)
        assert 0 <= line["validation"]["weighted_f1"] <= 1
    best = max(lines, key=lambda line: (line["validation"]["weighted_f1"], -line["validation"]["loss"]))
    assert finished["best_epoch"] == best["epoch"]
    assert list(Path(trained.tensorboard).glob("events.*"))


def test_evaluation_agrees_with_the_best_epoch_and_with_the_number_of_workers(trained, spark):
    one = hvdcells.evaluate(trained, split="validation", workers=1)
    two = hvdcells.evaluate(trained, split="validation", workers=2)
    assert one.by_image == two.by_image
    best = trained.read_json(trained.finished)["best_epoch"]
    scores = trained.read_metrics()[best - 1]["validation"]
    assert one.by_image["confusion_matrix"] == scores["confusion_matrix"]
    assert one.by_image["weighted_f1"] == pytest.approx(scores["weighted_f1"])


def test_predictions_name_every_image_of_the_split_once(trained, demonstration):
    evaluation = hvdcells.evaluate(trained, split="test")
    predictions = pd.read_parquet(trained.predictions("test"))
    rows = hvdcells.Dataset.open(demonstration / "demo/dataset").read_rows("test", ["image_id", "label"])
    assert predictions["image_id"].tolist() == rows["image_id"].tolist()
    assert predictions["image_id"].is_unique
    called = (predictions["probability_all"] >= 0.5).to_numpy()
    assert np.mean(called == rows["label"].to_numpy()) == pytest.approx(evaluation.by_image["accuracy"])
    kept = json.loads(Path(trained.evaluation("test")).read_text())
    assert kept["synthetic"] is True
    assert "SYNTHETIC" in kept["notice"]
    assert kept["by_image"]["weighted_f1"] == evaluation.by_image["weighted_f1"]


def test_a_finished_run_is_not_trained_over(trained, demonstration):
    with pytest.raises(hvdcells.UserError, match="finished run"):
        hvdcells.train(demonstration / "demo/dataset", trained.location, trained.read_experiment())


def test_the_python_of_the_readme_runs(spark, demonstration, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(code.splitlines()) <= 10
    monkeypatch.chdir(demonstration)
    exec(compile(code, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert re.search(r"weighted F1 \d\.\d+ by image, \d\.\d+ by subject", out)
    assert "SYNTHETIC" in out


def test_one_process_without_spark_trains_too(demonstration, tmp_path):
    experiment = hvdcells.recipes.mobilenet_v2().override(
        {"training.epochs": 1, "data.input_size": 32, "data.batch_size": 16, "model.width": 0.35}
    )
    run = hvdcells.train(demonstration / "demo/dataset", tmp_path / "run", experiment, backend=InProcess())
    assert run.read_json(run.finished)["ranks"] == 1


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample of real C-NMC images is not beside this checkout")
def test_real_cells(spark, tmp_path):
    manifest = run_etl(spark, SAMPLE, tmp_path / "dataset")
    assert manifest.synthetic is False
    assert manifest.written == 62
    assert manifest.rejected == {}
    assert {name: split.images for name, split in manifest.splits.items()}["test"] == 14
    experiment = hvdcells.recipes.small_cnn().override(SHORT)
    run = hvdcells.train(tmp_path / "dataset", tmp_path / "run", experiment, workers=2)
    evaluation = hvdcells.evaluate(run)
    assert evaluation.by_image["images"] == 14
    assert np.array(evaluation.by_image["confusion_matrix"]).sum(1).tolist() == [4, 10]
    assert "notice" not in evaluation.to_dict()
