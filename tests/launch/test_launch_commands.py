"""`hvdcells launch local` and `launch cluster`: what they call, with what, and what they leave out; nothing starts."""

import re
import signal

import pytest
from typer.testing import CliRunner

import hvdcells
from etl.options import EtlOptions
from hvdcells.errors import UserError
from hvdcells.runs.directory import RunDirectory, write_json
from launch.cli import app
from launch.terminal.model_options import option_name

PLACES = ["--source", "images", "--dataset", "dataset"]


@pytest.fixture
def called(monkeypatch):
    """What `launch local` calls of the API, in its order; nothing of it works."""
    calls = []

    def noted(name):
        return lambda *arguments, **options: calls.append((name, arguments, options))

    monkeypatch.setattr("launch.terminal.etl_stage.make_dataset", noted("etl"))
    monkeypatch.setattr(hvdcells, "train", noted("train"))
    monkeypatch.setattr(hvdcells, "evaluate", noted("evaluate"))
    monkeypatch.setattr(hvdcells, "write_report", noted("report"))
    monkeypatch.setattr("launch.terminal.runs_tables.print_training", lambda *_: None)
    monkeypatch.setattr("launch.terminal.evaluation_tables.print_evaluation", lambda *_: None)
    return calls


def local(run, *more):
    return CliRunner().invoke(app, ["launch", "local", *PLACES, "--run", str(run), *map(str, more)])


def test_all_stages_are_called_in_their_order(called, tmp_path):
    done = local(tmp_path / "run", "--workers", 3, "--set", "training.epochs=4")
    assert done.exit_code == 0, done.output
    assert [name for name, *_ in called] == ["etl", "train", "evaluate", "report"]
    etl, train, evaluate, report = called
    assert etl[1][:3] == ("images", "dataset", EtlOptions())
    assert etl[2] == {"workers": 3}
    experiment = hvdcells.recipes.small_cnn().override({"training.epochs": 4})
    assert train[1:] == (("dataset", str(tmp_path / "run"), experiment), {"workers": 3, "resume": True})
    assert evaluate[1:] == ((str(tmp_path / "run"),), {"split": "test", "trust_code": ()})
    assert report[1] == (str(tmp_path / "run"),)
    assert re.findall(r"^(\w+): done in \d+ s$", done.output, re.MULTILINE) == ["etl", "train", "evaluate", "report"]


def test_what_is_done_is_not_done_again(called, tmp_path):
    write_json(RunDirectory.at(tmp_path).finished, {})
    done = local(tmp_path)
    assert [name for name, *_ in called] == ["evaluate", "report"]
    assert "etl: done already" in done.output
    assert "train: done already" in done.output


def test_ctrl_c_ends_it_there_and_says_how_to_go_on(called, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(hvdcells, "train", interrupted)
    done = local(tmp_path / "run")
    assert done.exit_code == 128 + signal.SIGINT
    assert "train: stopped; the same command goes on from here" in done.output
    assert [name for name, *_ in called] == ["etl"]


def test_a_wrong_setting_is_told_before_anything_is_done(called, tmp_path):
    done = local(tmp_path / "run", "--set", "training.epoks=4")
    assert isinstance(done.exception, UserError)
    assert not called


def cluster(*more):
    words = ["launch", "cluster", *PLACES, "--run", "run", "--master", "yarn", "--dry-run", *map(str, more)]
    return CliRunner().invoke(app, words)


def test_options_win_over_the_file_even_where_they_say_the_default(tmp_path):
    (tmp_path / "cluster.yaml").write_text("worker_instance: m5.2xlarge\nnum_machines: 2\ndriver_memory_gib: 3\n")
    done = cluster("--spec", tmp_path / "cluster.yaml", "--machines", 4)
    assert done.exit_code == 0, done.exception
    assert "spark.driver.memory=3072m" in done.output
    assert "spark.executor.instances=4" in done.output
    done = cluster("--spec", tmp_path / "cluster.yaml", "--driver-memory-gib", 2)
    assert "spark.driver.memory=2048m" in done.output
    assert "spark.executor.instances=2" in done.output


def test_wrong_sizes_are_told_together_by_the_names_of_their_options():
    done = cluster("--machines", 0, "--threads", -1, "--memory-gib", 0)
    assert isinstance(done.exception, UserError)
    for words in ("--machines 0", "--threads -1", "--memory-gib 0"):
        assert words in str(done.exception)


def test_every_etl_option_is_one_of_the_command():
    done = CliRunner().invoke(app, ["etl", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert done.exit_code == 0
    shown = re.findall(r"--[a-z-]+", done.output)
    assert {option_name(EtlOptions, field) for field in EtlOptions.model_fields} <= set(shown)
    assert all(field.description for field in EtlOptions.model_fields.values())


def test_wrong_etl_options_are_told_together_by_the_names_of_their_options():
    done = CliRunner().invoke(app, ["etl", "images", "dataset", "--image-size", "2", "--proportions", "1", "1", "1"])
    assert isinstance(done.exception, UserError)
    for words in ("--image-size 2", "--proportions (1.0, 1.0, 1.0)", "add up to 1"):
        assert words in str(done.exception)
