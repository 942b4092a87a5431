"""A run that is trained again: the same weights, or where it parts."""

import json
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

import hvdcells
from hvdcells.driver.replay import replay
from hvdcells.spark.backends import InProcess
from launch.cli import app
from tests.hvdcells.driver.test_sweep import EXPERIMENT
from tests.small_dataset import write_small_dataset

GROUPS = {"train": [[8, 8], [8]], "validation": [[8, 8]]}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run and its dataset; each test leaves them as they are."""
    folder = tmp_path_factory.mktemp("replayed")
    dataset = write_small_dataset(folder / "dataset", GROUPS)
    return hvdcells.train(dataset, folder / "run", EXPERIMENT, backend=InProcess())


@pytest.mark.tensorflow
def test_a_run_comes_to_the_same_weights_again_and_another_is_told_where_it_parts(run, tmp_path, monkeypatch):
    result = replay(run.location, tmp_path / "again", backend=InProcess())
    assert (result.is_same, result.first_difference, result.environment) == (True, None, [])
    assert result.run.read_experiment() == run.read_experiment()

    # What a run says of itself is taken at its word: another seed in its experiment makes another run.
    for path in Path(run.location).rglob("*"):
        if path.is_file():
            copied = tmp_path / "changed" / path.relative_to(run.location)
            copied.parent.mkdir(parents=True, exist_ok=True)
            copied.write_bytes(path.read_bytes())
    for name, change in (("experiment.json", {"seed": 7}), ("run.json", {"python": "3.11.0"})):
        file = tmp_path / "changed" / name
        file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    monkeypatch.setattr("hvdcells.driver.replay.replay", partial(replay, backend=InProcess()))
    shown = CliRunner().invoke(app, ["replay", str(tmp_path / "changed"), str(tmp_path / "other")])
    assert shown.exit_code == 1, shown.output
    assert "Not as then: python: 3.11.0 then" in shown.output
    assert "The weights differ. The runs part in epoch 1: loss" in shown.output


@pytest.mark.tensorflow
def test_another_dataset_and_a_pruned_trial_are_refused(run, tmp_path):
    other = write_small_dataset(tmp_path / "dataset", GROUPS, seed=1)
    with pytest.raises(hvdcells.UserError, match="is not the one"):
        replay(run.location, tmp_path / "again", dataset=other.location, backend=InProcess())
    with pytest.raises(hvdcells.UserError, match="holds no run"):
        replay(tmp_path / "nothing", tmp_path / "again", backend=InProcess())
    assert not (tmp_path / "again").exists()
