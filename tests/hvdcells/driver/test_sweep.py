import json
from pathlib import Path

import pytest

import hvdcells
from hvdcells.data.dataset import Dataset
from hvdcells.spark.backends import InProcess
from launch.terminal.console import Console
from launch.terminal.runs_tables import print_sweep
from tests.hvdcells.driver.interrupted import Interrupted
from tests.small_dataset import write_small_dataset

EXPERIMENT = hvdcells.recipes.small_cnn().override(
    {"training.epochs": 1, "data.input_size": 24, "data.batch_size": 8, "model.width": 0.2}
)
# A rate of 1e30 makes the loss infinite: that trial fails.
RATES = {"optimizer.learning_rate": [1e-6, 0.02, 1e30]}


class Counting(InProcess):
    def __init__(self):
        self.done = 0

    def run(self, entry, argument, logs):
        self.done += 1
        return super().run(entry, argument, logs)


@pytest.fixture
def dataset(tmp_path):
    return write_small_dataset(tmp_path / "dataset", {"train": [[8, 8], [8, 8]], "validation": [[8, 8]]})


@pytest.mark.tensorflow
def test_trials_come_best_first_and_a_failing_one_last(dataset, tmp_path, capsys):
    backend = Counting()
    result = hvdcells.sweep(dataset, tmp_path / "runs", EXPERIMENT, RATES, backend=backend, say=lambda _: None)
    assert [trial.state for trial in result.trials] == ["finished", "finished", "failed"]
    failed = result.trials[-1]
    assert failed.values == {"optimizer.learning_rate": 1e30}
    assert "loss is" in failed.error
    scores = [trial.scores["weighted_f1"] for trial in result.trials[:2]]
    assert scores == sorted(scores, reverse=True)
    for trial in result.trials[:2]:
        run = hvdcells.RunDirectory.at(tmp_path / "runs" / trial.name)
        assert run.read_experiment() == EXPERIMENT.override(trial.values)
        assert run.read_metrics()[0]["validation"]["weighted_f1"] == trial.scores["weighted_f1"]
    kept = json.loads(Path(result.summary).read_text())
    assert [trial["state"] for trial in kept["trials"]] == ["finished", "finished", "failed"]
    print_sweep(result, Dataset.open(dataset.location).manifest, Console(width=160))
    shown = capsys.readouterr().out
    assert shown.index(result.trials[0].name) < shown.index(result.trials[1].name) < shown.index(failed.name)
    assert f"{failed.name} failed: the loss is" in shown

    # Asked for again, only what is missing is tried.
    again = hvdcells.sweep(dataset, tmp_path / "runs", EXPERIMENT, RATES, backend=backend, say=lambda _: None)
    assert backend.done == 3 + 1
    assert again == result


@pytest.mark.tensorflow
def test_an_interrupted_sweep_goes_on(dataset, tmp_path):
    vary = {"model.dropout": [0.0, 0.3]}
    with pytest.raises(KeyboardInterrupt):
        hvdcells.sweep(dataset, tmp_path / "runs", EXPERIMENT, vary, backend=Interrupted(), say=lambda _: None)
    kept = json.loads((tmp_path / "runs/sweep.json").read_text())
    assert [trial["state"] for trial in kept["trials"]] == ["finished", "waiting"]
    backend = Counting()
    result = hvdcells.sweep(dataset, tmp_path / "runs", EXPERIMENT, vary, backend=backend, say=lambda _: None)
    assert backend.done == 1
    assert {trial.state for trial in result.trials} == {"finished"}
    with pytest.raises(hvdcells.UserError, match="planned otherwise"):
        hvdcells.sweep(dataset, tmp_path / "runs", EXPERIMENT, RATES, backend=backend)


@pytest.mark.parametrize(
    ("vary", "words"),
    [
        ({"optimizer.rate": [1]}, "no field 'optimizer.rate'"),
        ({"data.batch_size": [8, 0]}, "data.batch_size=0"),
        ({"training.monitor": ["auroc", "loss"]}, "one score"),
        ({}, "no field to vary"),
    ],
)
def test_nonsense_is_refused_before_anything_is_written(dataset, tmp_path, vary, words):
    with pytest.raises(hvdcells.UserError, match=words):
        hvdcells.sweep(dataset, tmp_path / "runs", EXPERIMENT, vary, backend=InProcess())
    assert not (tmp_path / "runs").exists()


def test_a_folder_with_other_files_is_left_alone(dataset, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/photo.png").write_text("")
    with pytest.raises(hvdcells.UserError, match="other files"):
        hvdcells.sweep(dataset, tmp_path / "runs", EXPERIMENT, RATES, backend=InProcess())


@pytest.mark.spark
@pytest.mark.ranks
@pytest.mark.slow
def test_the_session_outlives_a_trial_whose_ranks_fail(spark, dataset, tmp_path):
    vary = {"optimizer.learning_rate": [1e30, 0.01]}
    result = hvdcells.sweep(dataset, tmp_path / "runs", EXPERIMENT, vary, workers=2, say=lambda _: None)
    assert [trial.state for trial in result.trials] == ["finished", "failed"]
    assert spark.range(3).count() == 3
