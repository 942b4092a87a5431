"""Ranks that are lost or told to end: the same command goes on from the last checkpoint, with those that there are."""

import json
import re
import signal
import threading
import time
from contextlib import suppress
from itertools import groupby
from pathlib import Path

import psutil
import pytest

import hvdcells
from hvdcells.runs.directory import RunDirectory
from hvdcells.runs.progress import last_progress
from tests.processes import command
from tests.small_dataset import write_small_dataset

pytestmark = [pytest.mark.spark, pytest.mark.ranks, pytest.mark.slow, pytest.mark.timeout(1800)]

EPOCHS = 8
OPTIONS = (
    *("--epochs", EPOCHS, "--set", "data.input_size=48", "--set", "data.batch_size=2", "--set", "model.width=0.5"),
    *("--set", "optimizer.name=adamw", "--workers", 2),
)
RESTART = ("--max-restarts", 3, "--checkpoint-steps", 4)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    groups = {"train": [[8] * 8, [8] * 7 + [5]], "validation": [[8, 8], [7]], "test": [[4]]}
    return write_small_dataset(tmp_path_factory.mktemp("dataset"), groups).location


@pytest.fixture(scope="module")
def undisturbed(dataset, tmp_path_factory):
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    with command("train", dataset, run, *OPTIONS) as training:
        assert training.read_to_the_end() == 0, training.output
    return RunDirectory.at(run)


def finished(directory):
    return json.loads(Path(directory.finished).read_text())


def test_the_same_workers_come_to_the_same_weights_bit_by_bit(dataset, undisturbed, tmp_path):
    directory = RunDirectory.at(tmp_path / "run")
    with command("train", dataset, directory.location, *OPTIONS, *RESTART) as training:
        training.read_until(f" 2/{EPOCHS}")
        training.ranks()[1].kill()
        training.read_until("Going on with")
        training.read_until(f" 4/{EPOCHS}")
        training.ranks()[0].send_signal(signal.SIGTERM)
        training.read_until("Going on with")
        training.read_until(f" 6/{EPOCHS}")
        training.process.send_signal(signal.SIGTERM)  # to the driver, as YARN does: it ends, its ranks keep their steps
        assert training.read_to_the_end() == 128 + signal.SIGTERM
    assert re.search(r"the process of rank [01] was killed by SIGKILL", training.output)
    assert re.search(r"rank [01] was told to end \(SIGTERM\); a checkpoint was written after step \d+", training.output)
    assert re.search(r"Restart 2 of 3: \d+\.\d s since the last checkpoint are lost", training.output)
    assert re.search(r"the restart took \d+\.\d s, from the loss to the first step", training.output)
    assert "--max-restarts 3 --checkpoint-steps 4" in training.output
    assert last_progress(directory).steps_done

    with command("train", dataset, directory.location, "--resume") as training:
        assert training.read_to_the_end() == 0, training.output
    assert re.search(r"going on with step \d+ of epoch", training.output)
    assert finished(directory)["weights_digest"] == finished(undisturbed)["weights_digest"]
    assert [record["epoch"] for record in directory.read_metrics()] == list(range(1, EPOCHS + 1))
    for record, expected in zip(directory.read_metrics(), undisturbed.read_metrics(), strict=True):
        assert record["images"] == expected["images"] == 125
        assert record["loss"] == pytest.approx(expected["loss"], rel=1e-6)
    names = [path.name for path in Path(directory.checkpoints).iterdir()]
    assert not [name for name in names if "step" in name]
    assert [note["workers"] for note in directory.read_json(directory.run)["restarts"]] == [2, 2]


def ranks_here():
    return [each for each in psutil.Process().children(recursive=True) if is_rank(each)]


def is_rank(process):
    with suppress(psutil.Error):
        return "rank_server" in " ".join(process.cmdline()) and "rank_server" in " ".join(process.parent().cmdline())
    return False


def test_fewer_workers_go_on_where_no_more_are_to_be_had_and_more_when_they_are(
    spark, dataset, undisturbed, tmp_path, capsys
):
    directory, released = RunDirectory.at(tmp_path / "run"), tmp_path / "released"
    experiment = undisturbed.read_experiment().override({"training.epochs": 24})

    def records():
        return directory.read_metrics() if Path(directory.metrics).exists() else []

    def held(_):
        while not released.exists():
            time.sleep(0.1)

    def disturb():
        while len(records()) < 2:
            time.sleep(0.1)
        # It waits for a slot, which it has before the ranks can have it again.
        blocker = threading.Thread(target=lambda: spark.sparkContext.parallelize([0], 1).foreach(held), daemon=True)
        blocker.start()
        while len(spark.sparkContext.statusTracker().getActiveJobsIds()) < 2:
            time.sleep(0.1)
        ranks_here()[1].kill()
        while not any(len(record["rank_seconds"]) == 1 for record in records()):
            time.sleep(0.1)
        released.touch()
        blocker.join()

    disturber = threading.Thread(target=disturb, daemon=True)
    disturber.start()
    options = {"max_restarts": 1, "min_workers": 1, "checkpoint_steps": 4, "start_timeout_seconds": 3}
    hvdcells.train(dataset, directory.location, experiment, workers=2, **options)
    disturber.join()
    worlds = [len(record["rank_seconds"]) for record in records()]
    assert [number for number, _ in groupby(worlds)] == [2, 1, 2]
    assert {record["images"] for record in records()} == {125}
    said = capsys.readouterr().out
    assert "1 of 2 workers" in said
    assert "2 of 2 workers" in said
    assert [note["workers"] for note in directory.read_json(directory.run)["restarts"]] == [1, 2]
    assert records()[7]["loss"] == pytest.approx(undisturbed.read_metrics()[7]["loss"], rel=0.5)
