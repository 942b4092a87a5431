"""Runs that are killed, really, and go on: the weights at the end are those of a run that nobody touched."""

import json
import re
import signal
from pathlib import Path

import psutil
import pytest

from hvdcells.runs.directory import RunDirectory
from tests.hvdcells.rank.test_checkpoint import steps_in
from tests.processes import command
from tests.small_dataset import write_small_dataset

pytestmark = [pytest.mark.spark, pytest.mark.ranks, pytest.mark.slow, pytest.mark.timeout(1800)]

EPOCHS = 20
OPTIONS = (
    *("--epochs", EPOCHS, "--set", "data.input_size=48", "--set", "data.batch_size=8", "--set", "model.width=0.5"),
    *("--set", "training.mixed_precision=false", "--set", "optimizer.name=adamw"),
)
KILLED = re.compile(r"error: the process of rank [01] was killed by SIGKILL")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    groups = {"train": [[8] * 8, [8] * 7 + [5]], "validation": [[8, 8], [7]], "test": [[4]]}
    return write_small_dataset(tmp_path_factory.mktemp("dataset"), groups).location


def finished(run):
    return json.loads(Path(RunDirectory.at(run).finished).read_text())


def uninterrupted(dataset, run, workers):
    with command("train", dataset, run, "--workers", workers, *OPTIONS) as training:
        assert training.read_to_the_end() == 0, training.output
    return finished(run)


def assert_all_end(training):
    """All processes of a command end by themselves, soon."""
    _, alive = psutil.wait_procs(training.processes(), timeout=30)
    assert not alive, [process.cmdline() for process in alive]


def assert_each_epoch_is_there_once(run):
    directory = RunDirectory.at(run)
    every = list(range(1, EPOCHS + 1))
    assert [record["epoch"] for record in directory.read_metrics()] == every
    steps = steps_in(directory.tensorboard, "validation/loss")
    assert sorted(set(steps)) == every
    assert len({steps.count(step) for step in steps}) == 1
    assert not [path for path in Path(run).rglob(".*") if path.is_file()], "left aside by a writer that was killed"


@pytest.mark.xdist_group("one rank killed")
@pytest.mark.slow(seconds=60)
def test_one_rank_killed_with_its_driver_goes_on_to_the_same_weights(dataset, tmp_path):
    expected = uninterrupted(dataset, tmp_path / "whole", workers=1)
    run = tmp_path / "killed"
    with command("train", dataset, run, "--workers", 1, *OPTIONS) as training:
        training.read_until(f" 3/{EPOCHS}")
        training.process.kill()
        assert_all_end(training)
    with command("train", dataset, run, "--resume") as training:
        assert training.read_to_the_end() == 0, training.output
    assert "Found the checkpoint of epoch" in training.output
    assert finished(run)["weights_digest"] == expected["weights_digest"]
    assert finished(run)["best_epoch"] == expected["best_epoch"]
    assert_each_epoch_is_there_once(run)


@pytest.mark.xdist_group("two ranks stopped")
@pytest.mark.slow(seconds=150)
def test_two_ranks_stopped_in_every_way_come_to_the_same_weights(dataset, tmp_path):
    expected = uninterrupted(dataset, tmp_path / "whole", workers=2)
    run = tmp_path / "killed"

    with command("train", dataset, run, "--workers", 2, *OPTIONS) as training:  # before the first checkpoint
        training.read_until("per worker")
        training.ranks()[0].kill()
        assert training.read_to_the_end() == 1
        assert_all_end(training)
    assert KILLED.search(training.output)
    assert f"To go on: hvdcells train {dataset} {run} --resume" in training.output
    assert "Traceback" not in training.output

    with command("train", dataset, run, "--resume") as training:  # the driver
        training.read_until(f" 2/{EPOCHS}")
        training.process.kill()
        assert_all_end(training)
    assert "starts anew" in training.output

    with command("train", dataset, run, "--resume", HVDCELLS_RANK_SERVER="0") as training:  # a rank as on a cluster
        training.read_until(f" 5/{EPOCHS}")
        training.ranks()[1].kill()
        assert training.read_to_the_end() == 1
        assert_all_end(training)
    assert KILLED.search(training.output)

    with command("train", dataset, run, "--resume") as training:  # Ctrl-C
        training.read_until(f" 8/{EPOCHS}")
        training.process.send_signal(signal.SIGINT)
        assert training.read_to_the_end() == 128 + signal.SIGINT
        assert_all_end(training)
    assert f"Stopped. To go on: hvdcells train {dataset} {run} --resume" in training.output
    assert "error" not in training.output

    with command("train", dataset, run, "--workers", 2, *OPTIONS, "--resume") as training:
        assert training.read_to_the_end() == 0, training.output
    assert finished(run)["weights_digest"] == expected["weights_digest"]
    assert finished(run)["best_epoch"] == expected["best_epoch"]
    assert len(RunDirectory.at(run).read_json(RunDirectory.at(run).run)["resumed"]) == 4
    assert_each_epoch_is_there_once(run)
