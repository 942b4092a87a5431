"""What a run of somebody else says is no code of ours: functions that its own file names are not called."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import hvdcells
from hvdcells.errors import UserError
from hvdcells.experiment import Experiment, Model
from hvdcells.experiment.trust import code_named_by
from hvdcells.runs.directory import RunDirectory, write_json
from hvdcells.runs.earlier_run import dataset_digest
from hvdcells.spark.backends import InProcess
from launch.cli import app
from launch.sagemaker.container.jobs import TrainingTask
from launch.stages import Pipeline
from tests.small_dataset import write_small_dataset

PLANTED = "raise SystemExit(7)\n"


@pytest.fixture
def dataset(tmp_path):
    return write_small_dataset(tmp_path / "dataset", {"train": [[4, 4]], "validation": [[4]], "test": [[4]]})


@pytest.fixture
def run(dataset, tmp_path, monkeypatch):
    """A run of somebody else, whose file names a function of a module beside it and one that ends the process."""
    directory = RunDirectory.at(tmp_path / "run")
    write_json(directory.experiment, Experiment(model=Model(backbone="mynet:f")).model_dump())
    described = {"location": dataset.location, "digest": dataset_digest(dataset), "validation_fold": None}
    write_json(directory.run, {"dataset": described, "workers": 1})
    write_json(directory.finished, {"best_epoch": 1})
    (tmp_path / "mynet.py").write_text(PLANTED)
    monkeypatch.chdir(tmp_path)
    return directory


@pytest.mark.parametrize("backbone", ["mynet:f", "os:_exit"])
def test_a_function_that_a_run_names_is_not_called_unless_its_module_is_trusted(run, dataset, backbone):
    write_json(run.experiment, Experiment(model=Model(backbone=backbone)).model_dump())
    module = backbone.partition(":")[0]
    for attempt in (
        lambda: hvdcells.evaluate(run),
        lambda: hvdcells.evaluate(run, trust_code=["another"]),
        lambda: hvdcells.predict(run, "images", "out"),
        lambda: hvdcells.Classifier.load(run),
        lambda: hvdcells.train(dataset, run.location, backend=InProcess(), resume=True),
    ):
        with pytest.raises(UserError, match=f"names the function {backbone}") as refused:
            attempt()
        assert f"--trust-code {module}" in refused.value.remedy


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "run"],
        ["predict", "run", "images", "out"],
        ["train", "dataset", "run", "--resume"],
        ["train", "dataset", "run", "--resume", "--epochs", "3"],
        ["train", "dataset", "run", "--resume", "--set", "seed=1"],
    ],
)
def test_commands_refuse_it_with_the_option_to_give(run, words):
    refused = CliRunner().invoke(app, words)
    assert isinstance(refused.exception, UserError)
    assert "--trust-code mynet" in str(refused.exception)


def test_what_is_trusted_is_tried(run, dataset):
    # The run is finished, so nothing is called: it is enough that it is not refused.
    again = hvdcells.train(dataset, run.location, backend=InProcess(), resume=True, trust_code=["mynet"])
    assert again.location == run.location
    with pytest.raises(UserError, match="--trust-code mynet"):
        hvdcells.train(dataset, run.location, backend=InProcess(), resume=True)


def test_what_the_user_types_is_trusted(run):
    done = CliRunner().invoke(app, ["train", "dataset", "run", "--set", "model.backbone=mynet:f", "--list-fields"])
    assert done.exit_code == 0
    done = CliRunner().invoke(
        app, ["train", "dataset", "run", "--resume", "--set", "model.backbone=mynet:f", "--list-fields"]
    )
    assert done.exit_code == 0


def test_the_installed_command_imports_nothing_of_the_current_folder(run, tmp_path):
    for name in ("numpy.py", "typer.py", "sitecustomize.py", "usercustomize.py"):
        (tmp_path / name).write_text(PLANTED)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = Path(sys.executable).parent / "hvdcells"
    done = subprocess.run([command, "evaluate", "run"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "--trust-code mynet" in done.stderr


def test_processes_that_a_command_starts_import_nothing_of_it_either(tmp_path):
    (tmp_path / "planted_module.py").write_text(PLANTED)
    ask = "import os, subprocess, sys, launch.cli as c\nc.app = lambda: None\nc.main()\n"
    ask += "sys.exit(subprocess.call([sys.executable, '-c', 'import planted_module'], stderr=subprocess.DEVNULL))"
    environment = {**os.environ, "PYTHONPATH": str(Path(hvdcells.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-P", "-c", ask], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr  # there is no such module; its own exit code is 7


def test_stages_and_containers_trust_what_the_user_has_named():
    named = {"model.backbone": "mynet.models:f"}
    pipeline = Pipeline(source="s", dataset="d", run="r", settings=named)
    assert pipeline.stages(1)["evaluate"][-2:] == ["--trust-code", "mynet.models"]
    assert "--trust-code" not in Pipeline(source="s", dataset="d", run="r").stages(1)["evaluate"]
    task = TrainingTask("d", "r", "small_cnn", named, 1, "test")
    assert task.commands([])[1][-2:] == ["--trust-code", "mynet.models"]
    assert code_named_by(Experiment(model=Model(backbone="mynet.models:f"))) == ("mynet.models",)
    assert code_named_by(Experiment()) == ()
