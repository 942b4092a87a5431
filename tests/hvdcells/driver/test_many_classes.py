"""Four classes on their whole way: trained, stopped and resumed, evaluated, reported; and weights of another number."""

import json
import re
import shutil
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import hvdcells
from hvdcells.errors import UserError
from hvdcells.rank.epoch import train_epoch
from hvdcells.rank.models import load_model
from hvdcells.runs.predictions import PREDICTION_COLUMNS
from hvdcells.scores.prediction_table import class_probabilities
from hvdcells.spark.backends import InProcess
from launch.cli import app
from launch.terminal.console import Console
from launch.terminal.evaluation_tables import print_evaluation
from tests.small_dataset import write_small_dataset

pytestmark = pytest.mark.tensorflow

CLASSES = ("benign", "early [pre-b]", "pre", "pro")
GROUPS = {"train": [[8, 8], [8]], "validation": [[8, 8]], "test": [[12, 9]]}
EXPERIMENT = hvdcells.recipes.small_cnn().override(
    {"training.epochs": 2, "data.input_size": 24, "data.batch_size": 8, "model.width": 0.2}
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("four-classes")
    dataset = write_small_dataset(folder / "dataset", GROUPS, class_names=CLASSES, positive_classes=CLASSES[1:])
    return hvdcells.train(dataset, folder / "run", EXPERIMENT, backend=InProcess())


@pytest.fixture(scope="module")
def evaluation(run):
    return hvdcells.evaluate(run)


def test_the_table_of_predictions_has_a_logit_and_a_probability_of_each_class(run, evaluation):
    for split, images in (("validation", 16), ("test", 21)):
        table = pd.read_parquet(run.predictions(split))
        columns = [*(f"logit_{name}" for name in CLASSES), *(f"probability_{name}" for name in CLASSES)]
        assert [*table] == [*PREDICTION_COLUMNS, *columns]
        assert len(table) == images
        probabilities = class_probabilities(table, CLASSES)
        logits = table[columns[:4]].to_numpy(float)
        assert probabilities.sum(1) == pytest.approx(np.ones(images))
        np.testing.assert_allclose(np.log(probabilities / probabilities[:, :1]), logits - logits[:, :1], atol=1e-4)
    assert run.read_json(run.evaluation("test"))["by_image"]["images"] == 21


def test_each_class_and_the_test_for_illness_are_judged_by_image_and_by_subject(run, evaluation):
    kept = run.read_json(run.evaluation("test"))
    assert kept["positive_classes"] == list(CLASSES[1:])
    for scores in (evaluation.by_image, evaluation.by_subject):
        assert len(scores["per_class"]) == len(scores["confusion_matrix"]) == 4
        assert np.sum(scores["positive_confusion_matrix"]) == np.sum(scores["confusion_matrix"])
    assert type(evaluation).from_dict(json.loads(json.dumps(kept))).to_dict() == json.loads(json.dumps(kept))


def test_the_epochs_tell_macro_f1_and_each_class(run):
    for line in run.read_metrics():
        assert [each["images"] for each in line["validation"]["per_class"]] == [4, 4, 4, 4]
        assert 0 <= line["validation"]["macro_f1"] <= 1


def test_screen_and_page_name_the_classes_and_speak_of_no_others(run, evaluation):
    screen = StringIO()
    print_evaluation(evaluation, Console(file=screen, width=200))
    page = Path(run.report).read_text()
    for shown in (screen.getvalue(), page):
        assert all(name in shown for name in CLASSES), "square brackets are no markup"
        assert "macro F1" in shown
        assert "sensitivity" in shown
        words = re.sub(r"data:[^\"]*", "", shown.lower())
        assert not re.search(r"\b(cancer|healthy|hem|blasts?)\b", words)


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(run, tmp_path, monkeypatch, capfd):
    dataset = run.read_json(run.run)["dataset"]["location"]

    def stopped_in_the_second(step, batches, plan, *rest, **options):
        if plan.epoch == 1:
            raise KeyboardInterrupt
        return train_epoch(step, batches, plan, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr("hvdcells.rank.train.train_epoch", stopped_in_the_second)
        with pytest.raises(KeyboardInterrupt):
            hvdcells.train(dataset, tmp_path / "run", EXPERIMENT, backend=InProcess())
    resumed = hvdcells.train(dataset, tmp_path / "run", backend=InProcess(), resume=True)
    assert "going on with epoch 2" in capfd.readouterr().out
    digests = [each.read_json(each.finished)["weights_digest"] for each in (run, resumed)]
    assert digests[0] == digests[1]


def test_weights_of_a_run_of_two_classes_give_the_backbone_and_say_so(run, tmp_path, capfd):
    two = write_small_dataset(tmp_path / "two", GROUPS)
    experiment = EXPERIMENT.override({"training.epochs": 1, "model.weights": run.location})
    trained = hvdcells.train(two, tmp_path / "run", experiment, backend=InProcess())
    assert "gives 4 logit(s) an image, this one 2" in capfd.readouterr().out
    assert [load_model(each.read_experiment().model, each.model).output_shape[-1] for each in (run, trained)] == [4, 2]


def test_what_counts_as_ill_can_be_named_when_it_is_evaluated(run, tmp_path):
    shutil.copytree(run.location, tmp_path / "run")
    command = ["evaluate", str(tmp_path / "run"), "--json", "--positive"]
    shown = CliRunner().invoke(app, [*command, "pro,pre"], catch_exceptions=False)
    kept = json.loads(shown.stdout)
    assert kept["positive_classes"] == ["pre", "pro"]
    matrix = np.array(kept["by_image"]["positive_confusion_matrix"])
    counts = [each["images"] for each in kept["by_image"]["per_class"]]
    assert matrix.sum(1).tolist() == [sum(counts[:2]), sum(counts[2:])]
    for names in ("pro,blast", "", ",".join(CLASSES)):
        with pytest.raises(UserError, match="some, and not all, of the dataset's classes"):
            CliRunner().invoke(app, [*command, names], catch_exceptions=False)


def test_a_dataset_of_other_classes_is_refused(run, tmp_path):
    other = write_small_dataset(tmp_path / "other", {"test": [[8]]}, class_names=CLASSES[:3])
    with pytest.raises(UserError, match="classes"):
        hvdcells.evaluate(run, other)
