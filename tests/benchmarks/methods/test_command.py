"""`python -m benchmarks.methods`: what it refuses, what it keeps, and one small comparison for real."""

import json
import subprocess
import sys

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from benchmarks.methods import __main__ as command
from benchmarks.methods.adapters.task import Outcome, Task
from benchmarks.methods.running import ROOT, Ending
from tests.small_dataset import write_small_dataset

LABELS = np.array([0, 1, 0, 1])
PREDICTED = [0.1, 0.9, 0.2, 0.6]


@pytest.fixture
def dataset(tmp_path):
    rows = {"train": [[16], [16]], "validation": [[6], [6]], "test": [[5], [5]]}
    return write_small_dataset(tmp_path / "dataset", rows, image_size=16).location


@pytest.fixture
def invoke(tmp_path, monkeypatch, dataset):
    """Call the command with runs that are made up; `runs` holds what was run, `fails` what ends with a reason."""

    def prepare(folder, settings):
        folder.mkdir(parents=True)
        (folder / "settings.json").write_text(json.dumps(settings))
        for split in ("validation", "test"):
            np.save(folder / f"{split}-labels.npy", LABELS)
        return Task(str(folder))

    def run_once(method, task, outcome, workers, environments, limit, is_cut):
        runs.append((method.name, is_cut))
        if len(runs) == interrupted_at:
            raise KeyboardInterrupt
        outcome.mkdir(parents=True)
        (outcome / "log").write_text("some words\n")
        for number in (1, 2):
            Outcome(str(outcome)).epoch(2.0, 20, PREDICTED, ended=100.0 + 10 * number)
        Outcome(str(outcome)).finish(PREDICTED)
        return Ending(100.0, 30.0, 2**30, fails.get(method.name), is_cut)

    monkeypatch.setattr(command, "prepare", prepare)
    monkeypatch.setattr(command, "run_once", run_once)
    app = typer.Typer(add_completion=False)
    app.command()(command.main)
    runs, fails, interrupted_at = [], {}, None

    def invoke(*options, interrupt=None):
        nonlocal interrupted_at
        interrupted_at = interrupt
        runs.clear()
        out = ("--out", str(tmp_path / "result.json"), "--logs", str(tmp_path / "logs"))
        return CliRunner().invoke(app, [*out, "--dataset", dataset, *options], env={"COLUMNS": "500"})

    invoke.runs, invoke.fails, invoke.out = runs, fails, tmp_path / "result.json"
    return invoke


def rows(invoke):
    return {row["name"]: row for row in json.loads(invoke.out.read_text())["methods"]}


def test_rounds_take_turns_and_rows_are_in_the_table_s_order(invoke):
    done = invoke("--rounds", "2", "--method", "bigdl", "--method", "one_process", "--wall-seconds", "9")
    assert done.exit_code == 0, done.output
    once, again = [("one_process", False), ("one_process", True)], [("bigdl", False), ("bigdl", True)]
    assert invoke.runs == once + again + again + once, "the second round begins with the other method"
    assert list(rows(invoke)) == ["one_process", "bigdl"]
    row = rows(invoke)["bigdl"]
    assert (row["status"], row["images_per_second"], row["seconds_to_f1"], row["weighted_f1"]) == ("ran", 10, 10, 1)
    assert row["runs"] == 2
    assert row["at_wall"]["epochs"] == 2
    assert "run 4/8, round 1/2  BigDL dllib (cut), log: " in done.stderr
    assert "10 images/s" in done.stderr
    assert "| BigDL dllib |" in done.stdout


def test_a_method_that_fails_keeps_its_row_and_is_retried_alone(invoke):
    invoke.fails["bigdl"] = "Py4JJavaError: no heap (exit status 1)"
    two = ("--rounds", "1", "--method", "one_process", "--method", "bigdl")
    failed = invoke(*two)
    assert failed.exit_code == 0
    assert "failed: Py4JJavaError: no heap (exit status 1)" in failed.stderr
    assert rows(invoke)["bigdl"]["status"] == "failed"
    assert rows(invoke)["bigdl"]["reason"] == "Py4JJavaError: no heap (exit status 1)"
    invoke.fails.clear()
    invoke("--rounds", "2", "--method", "bigdl")
    assert [name for name, _ in invoke.runs] == ["bigdl", "bigdl"]
    assert {name: (row["status"], row["runs"]) for name, row in rows(invoke).items()} == {
        "one_process": ("ran", 1),
        "bigdl": ("ran", 2),
    }


def test_rows_of_other_settings_are_not_mixed_and_not_lost(invoke):
    invoke("--rounds", "1", "--method", "one_process")
    before = invoke.out.read_text()
    refused = invoke("--rounds", "1", "--method", "bigdl", "--epochs", "3")
    assert refused.exit_code == 2
    assert "epochs=8" in refused.output
    assert invoke.runs == []
    assert invoke.out.read_text() == before


def test_an_interrupted_run_keeps_what_it_has_measured(invoke):
    two = ("--rounds", "2", "--method", "one_process", "--method", "bigdl")
    assert invoke(*two, interrupt=4).exit_code != 0
    assert {name: row["runs"] for name, row in rows(invoke).items()} == {"one_process": 1, "bigdl": 2}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--method", "spark"), "spark: not one of one_process, horovod_on_spark"),
        (("--source", "somewhere"), "--dataset and --source at once"),
        (("--dataset", "nowhere"), "is no finished dataset"),
        (("--table",), "there is no result at"),
    ],
)
def test_what_it_refuses(invoke, options, words):
    refused = invoke(*options)
    assert refused.exit_code == 2
    assert words in refused.output
    assert invoke.runs == []


@pytest.mark.slow  # two real runs through the command: one process, and two ranks on Spark
@pytest.mark.spark
@pytest.mark.ranks
def test_a_small_comparison_for_real(tmp_path, dataset):
    out = tmp_path / "result.json"
    options = ["--rounds", "1", "--epochs", "2", "--batch-per-worker", "4", "--dataset", dataset, "--out", str(out)]
    names = ["one_process", "horovod_on_spark"]
    methods = [word for name in names for word in ("--method", name)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.methods", *methods, *options, "--logs", str(tmp_path / "logs")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(out.read_text())
    assert [row["name"] for row in result["methods"]] == names
    for row in result["methods"]:
        assert (row["status"], row["reason"]) == ("ran", None), (
            tmp_path / f"logs/{row['name']}-epochs-1/log"
        ).read_text()
        assert (row["epochs"], row["images_per_epoch"]) == (2, 32)
        assert row["images_per_second"] > 0
        assert 0 <= row["weighted_f1"] <= 1
        assert row["peak_memory_bytes"] > 50 * 2**20
    evaluation = tmp_path / "logs/horovod_on_spark-epochs-1/run/evaluation/test.json"
    own = json.loads(evaluation.read_text())["by_image"]["weighted_f1"]
    assert result["methods"][1]["weighted_f1"] == pytest.approx(own), "labels and predictions are in one order"
