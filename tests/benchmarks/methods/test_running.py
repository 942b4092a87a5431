"""One run of a method: how it ends, why it failed, and that nothing is left of it."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.methods import environments, running
from benchmarks.methods.catalogue import METHODS, Method
from benchmarks.methods.environments import Environment, EnvironmentNotBuiltError, interpreter_of
from benchmarks.methods.running import run_once


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the fake adapter; the module it is found by is that of the tests."""
    popen = subprocess.Popen

    def fake(command, **options):
        command = [
            c.replace("benchmarks.methods.adapters.fake", "tests.benchmarks.methods.fake_adapter") for c in command
        ]
        return popen(command, **options)

    monkeypatch.setattr(running.subprocess, "Popen", fake)

    def run(behaviour, limit=60.0, is_cut=False):
        method = Method("fake", "a fake", "fake", (behaviour,))
        return run_once(method, tmp_path / "task", tmp_path / "outcome", 2, tmp_path / "environments", limit, is_cut)

    return run


def test_a_run_that_ends_well(run, tmp_path):
    ending = run("ok")
    assert (ending.reason, ending.was_cut) == (None, False)
    assert len((tmp_path / "outcome" / "epochs.jsonl").read_text().splitlines()) == 2
    assert (tmp_path / "outcome" / "log").exists()


def test_a_crash_keeps_its_reason_and_its_epochs(run, tmp_path):
    ending = run("crash")
    assert ending.reason == "KeyError: 'weights of the third layer' (exit status 1)"
    assert (tmp_path / "outcome" / "epochs.jsonl").exists()


def test_an_end_without_predictions_is_a_failure(run):
    assert run("silent").reason == "it ended without test predictions"


def test_a_run_that_does_not_end_is_ended_with_all_its_processes(run, tmp_path):
    ending = run("endless", limit=10.0)
    assert ending.was_cut
    assert ending.reason == "not done after 10 s"
    child = int((tmp_path / "outcome" / "child").read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
    assert ending.peak_memory_bytes > 0


def test_a_run_that_is_cut_at_its_wall_time_has_not_failed(run):
    ending = run("endless", limit=1.0, is_cut=True)
    assert (ending.reason, ending.was_cut) == (None, True)


def test_threads_are_shared_between_workers(tmp_path, monkeypatch):
    monkeypatch.setattr(running.os, "sched_getaffinity", lambda _: set(range(8)))
    alone, distributed = METHODS[0], METHODS[1]
    for method, threads in ((alone, "8"), (distributed, "4")):
        variables = running._environment(method, Path(sys.executable), 2, "mark")
        assert variables["TF_NUM_INTRAOP_THREADS"] == variables["OMP_NUM_THREADS"] == threads


def test_without_uv_the_reason_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(environments.shutil, "which", lambda _: None)
    monkeypatch.setattr(environments.sys, "prefix", str(tmp_path / "nowhere" / "venv"))
    method = Method("bigdl", "BigDL", "bigdl", environment=Environment("bigdl", "3.8"))
    ending = run_once(method, tmp_path / "task", tmp_path / "outcome", 2, tmp_path / "environments", 60.0, False)
    assert ending.reason == "uv is not on the PATH, and the method needs an environment of its own"


@pytest.fixture
def uv(tmp_path, monkeypatch):
    """A uv that refuses a requirement until `tmp_path/allowed` exists; what it was asked is in `tmp_path/asked`."""
    program = tmp_path / "bin" / "uv"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >> {tmp_path}/asked\n'
        'if [ "$1" = venv ]; then for folder; do :; done; mkdir -p "$folder"; exit 0; fi\n'
        f"[ -e {tmp_path}/allowed ] && exit 0\n"
        "echo 'Resolving'\n"
        "echo '  × No solution found when resolving dependencies: horovod==9 does not exist'\n"
        "exit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(environments.shutil, "which", lambda _: str(program))
    return tmp_path


def test_refused_requirements_are_the_reason_and_are_tried_again(uv):
    environment = Environment("elephas", "3.11")
    with pytest.raises(EnvironmentNotBuiltError, match=r"environment elephas: × No solution found .* horovod==9"):
        interpreter_of(environment, uv / "environments", uv / "log")
    (uv / "allowed").touch()
    python = interpreter_of(environment, uv / "environments", uv / "log")
    assert python == environment.folder(uv / "environments") / "bin" / "python"


def test_an_environment_is_built_once(uv):
    (uv / "allowed").touch()
    (environment := Environment("elephas", "3.11")).folder(uv / "environments").mkdir(parents=True)
    for _ in range(2):
        interpreter_of(environment, uv / "environments", uv / "log")
    assert (uv / "asked").read_text().count("pip install") == 1


def test_other_requirements_make_another_environment(tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    environment = Environment("some", "3.11")
    folders = set()
    for text in ("numpy==1.0", "numpy==2.0"):
        environment.requirements.write_text(text)
        folders.add(environment.folder(tmp_path / "environments"))
    environment.uv_options.write_text("")
    folders.add(environment.folder(tmp_path / "environments"))
    assert len(folders) == 2, "an empty file of options changes nothing"


@pytest.mark.parametrize("method", [m for m in METHODS if m.environment], ids=lambda m: m.name)
def test_requirements_are_pinned(method):
    lines = [line for line in method.environment.requirements.read_text().splitlines() if line and line[0] != "#"]
    assert lines
    assert all("==" in line for line in lines)
    assert running.describe_versions(method)["python"] == method.environment.python


def test_the_project_s_own_environment_is_the_one_that_runs():
    assert interpreter_of(None, Path("nowhere"), Path("nowhere")) == Path(sys.executable)
