"""The driver lets a user's model be tried in another process, and tells what was wrong in three parts."""

import subprocess
import sys
import types

import pytest

import hvdcells
from hvdcells.driver import model_check
from hvdcells.errors import UserError
from hvdcells.experiment import Experiment, Model
from hvdcells.spark.backends import InProcess
from tests.small_dataset import write_small_dataset


def experiment_of(function):
    return Experiment(model=Model(backbone=f"tests.hvdcells.rank.models.functions:{function}"))


@pytest.mark.tensorflow
def test_a_run_does_not_begin_with_a_model_that_would_not_end_well(tmp_path, monkeypatch):
    splits = {"train": [[4, 4]], "validation": [[4]], "test": [[4]]}
    dataset = write_small_dataset(tmp_path / "dataset", splits)
    monkeypatch.setattr(InProcess, "ready", lambda *_: pytest.fail("something was started"))
    with pytest.raises(UserError, match="a model of 2 outputs"):
        hvdcells.train(dataset, tmp_path / "run", experiment_of("of_two_outputs"), backend=InProcess())
    assert not (tmp_path / "run").exists()


@pytest.fixture
def asked(monkeypatch):
    """What the other process is started with; it does not start."""
    calls = []

    def run(command, **options):
        calls.append((command, options))
        return types.SimpleNamespace(returncode=0, stdout='said by the function\n[["a", "b", "c"]]', stderr="")

    monkeypatch.setattr(model_check.subprocess, "run", run)
    return calls


def test_what_is_wrong_comes_back_whatever_the_function_prints(asked):
    with pytest.raises(UserError) as told:
        model_check.check_model_function(experiment_of("no_model"), 32, 2)
    assert (told.value.given, told.value.expected, told.value.remedy) == ("a", "b", "c")
    [(command, options)] = asked
    assert command[:3] == [sys.executable, "-P", "-m"]  # nothing from the current folder
    assert '"input_size": 32' in options["input"]


def test_our_own_models_and_functions_that_only_executors_have_are_not_tried(asked):
    model_check.check_model_function(Experiment(), 32, 2)
    model_check.check_model_function(Experiment(model=Model(backbone="nowhere_to_be_found.at_all:f")), 32, 2)
    assert asked == []


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        (lambda *_, **__: types.SimpleNamespace(returncode=-11, stdout="", stderr="killed"), "cannot be built: killed"),
        (lambda command, timeout, **_: (_ for _ in ()).throw(subprocess.TimeoutExpired(command, timeout)), "300 s"),
    ],
)
def test_a_function_that_ends_its_process_or_never_returns_is_told(ends, told, monkeypatch):
    monkeypatch.setattr(model_check.subprocess, "run", ends)
    with pytest.raises(UserError, match=told):
        model_check.check_model_function(experiment_of("no_model"), 32, 2)
