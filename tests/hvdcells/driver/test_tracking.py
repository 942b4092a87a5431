"""Runs told to an MLflow server on loopback: a real one, one that is not there, one that never answers."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from types import SimpleNamespace

import pytest

import hvdcells
from hvdcells import storage
from hvdcells.driver.tracking import PARENT, Following, MLflow, check_track
from hvdcells.runs.directory import RunDirectory
from hvdcells.spark.backends import InProcess
from tests.hvdcells.driver.test_sweep import EXPERIMENT
from tests.small_dataset import write_small_dataset

mlflow = pytest.importorskip("mlflow")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a real server with its SQLite store."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/runs.db", "--artifacts-destination", str(folder / "kept")]
    environment = {**os.environ, "TMPDIR": str(folder), "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment)
    address, until = f"http://127.0.0.1:{port}", time.monotonic() + 400
    try:
        while not answers(address):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(60)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def swept(server, tmp_path_factory):
    """A sweep of one trial that was tracked, and a secret in the environment of its run."""
    folder = tmp_path_factory.mktemp("tracked")
    dataset = write_small_dataset(folder / "dataset", {"train": [[8, 8]], "validation": [[8, 8]]})
    experiment = EXPERIMENT.override({"training.epochs": 2})
    vary = {"model.dropout": [0.1]}
    hvdcells.sweep(dataset, folder / "runs", experiment, vary, backend=InProcess(), track=f"mlflow:{server}")
    return RunDirectory.at(folder / "runs/trial-001")


@pytest.mark.tensorflow
@pytest.mark.slow
def test_a_real_server_has_parameters_metrics_environment_and_artifacts_of_nested_runs(server, swept):
    client = mlflow.MlflowClient(server)
    (experiment,) = client.search_experiments(filter_string="name = 'hvdcells'")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"runs", "trial-001"}
    trial = runs["trial-001"]
    assert trial.data.tags[PARENT] == runs["runs"].info.run_id
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert trial.data.params["model.dropout"] == "0.1"
    assert trial.data.params["training.epochs"] == "2"
    card = swept.read_json(swept.run)
    assert trial.data.tags["dataset.digest"] == card["dataset"]["digest"]
    assert trial.data.tags["versions.tensorflow"] == card["versions"]["tensorflow"]
    for name in ("validation/weighted_f1", "train/loss"):
        history = client.get_metric_history(trial.info.run_id, name)
        lines = swept.read_metrics()
        kept = [line["loss"] if name == "train/loss" else line["validation"]["weighted_f1"] for line in lines]
        assert [(point.step, point.value) for point in history] == list(enumerate(kept, start=1))
    artifacts = {file.path for file in client.list_artifacts(trial.info.run_id)}
    assert {"report.html", "model.keras", "experiment.json", "run.json", "evaluation"} <= artifacts

    # Told again, as when a run goes on, it is the same run with the same points.
    said: list[str] = []
    following = Following(lambda: MLflow(server, swept, None), swept, "MLflow", said.append)
    following.start()
    following.finish()
    assert said == []
    assert len(client.search_runs([experiment.experiment_id])) == 2
    assert len(client.get_metric_history(trial.info.run_id, "train/loss")) == 2


@pytest.mark.tensorflow
def test_a_server_that_is_down_is_told_once(swept, tmp_path):
    run = copied(swept, tmp_path)
    said: list[str] = []
    following = Following(lambda: MLflow(f"http://127.0.0.1:{free_port()}", run, None), run, "MLflow at X", said.append)
    following.start()
    following.finish()
    assert len(said) == 1
    assert "MLflow at X cannot be told how the run goes on" in said[0]


@pytest.mark.tensorflow
def test_the_end_of_a_run_waits_for_a_slow_server_only_so_long(swept, tmp_path):
    run = copied(swept, tmp_path)
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:  # takes connections, and answers nothing
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        following = Following(lambda: MLflow(address, run, None), run, "MLflow at X", said.append)
        following.start()
        following.finish(wait_seconds=0.1)
    assert said == ["MLflow at X has not taken all of the run in 0.1 s: the rest is left out."]


def copied(run: RunDirectory, folder) -> RunDirectory:
    """A run as the driver knows it while it goes on, which no server knows yet."""
    copy = RunDirectory.at(folder / "run")
    (folder / "run").mkdir()
    for name in ("run.json", "experiment.json", "metrics.jsonl"):
        (folder / "run" / name).write_text(storage.read_text(run.path(name)))
    return copy


@pytest.mark.parametrize(
    ("track", "words"),
    [
        ("wandb:here", "mlflow:URI"),
        ("mlflow:", "mlflow:URI"),
        ("mlflow:http://ann:hunter2hunter2@host:5000", "with a password in it"),
    ],
)
def test_what_cannot_be_tracked_at_is_refused_without_its_password(track, words):
    with pytest.raises(hvdcells.UserError, match=words) as caught:
        check_track(track)
    assert "hunter2" not in str(caught.value)


def test_nothing_secret_is_sent(tmp_path, monkeypatch):
    sent = []

    class Client:
        def __init__(self, uri):
            pass

        def get_experiment_by_name(self, name):
            return None

        def create_experiment(self, name):
            return "1"

        def create_run(self, experiment_id, tags, run_name):
            sent.append(run_name)
            return SimpleNamespace(info=SimpleNamespace(run_id="id"))

        def log_batch(self, run_id, metrics=(), params=(), tags=()):
            sent.extend(f"{item.key}={item.value}" for item in (*params, *tags))

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-in-a-test")
    monkeypatch.setattr(mlflow, "MlflowClient", Client)
    run = RunDirectory.at(tmp_path / "run")
    (tmp_path / "run").mkdir()
    dataset = {"location": "s3://key:planted-in-a-test@bucket/x", "digest": "d", "synthetic": True}
    (tmp_path / "run/run.json").write_text(json.dumps({"dataset": dataset, "commit": "planted-in-a-test"}))
    MLflow("http://127.0.0.1:1", run, None).begin(EXPERIMENT.override({"model.weights": "planted-in-a-test"}))
    assert any(item.startswith("model.weights=") for item in sent)
    assert not any("planted" in item for item in sent)
