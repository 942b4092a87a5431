"""`hvdcells doctor`, and the quick part in `train`, on this machine and on two hosts of a standalone cluster."""

import json

import pytest

import hvdcells
from hvdcells import recipes
from hvdcells.spark.backends import InProcess
from tests.processes import command
from tests.small_dataset import write_small_dataset
from tests.standalone import WorkerHost, named_host, standalone_cluster

pytestmark = [pytest.mark.spark, pytest.mark.ranks, pytest.mark.slow, pytest.mark.timeout(900)]

SMALL = recipes.small_cnn().override({"training.epochs": 1, "model.width": 0.25})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    groups = {"train": [[8] * 3], "validation": [[8, 8, 8]], "test": [[4]]}
    return write_small_dataset(tmp_path_factory.mktemp("dataset"), groups).location


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """One host as it should be, and one whose NumPy is another."""
    folder = tmp_path_factory.mktemp("cluster")
    other = folder / "other-numpy" / "numpy-9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 9.9\n")
    names = ("first-host", "second-host")
    hosts = [
        WorkerHost(prefix=named_host(folder, names[0], names)),
        WorkerHost(prefix=named_host(folder, names[1], names), environment={"PYTHONPATH": str(other.parent)}),
    ]
    with standalone_cluster(folder / "cluster", hosts) as master:
        yield master


def doctor(*arguments):
    """Return the exit code and the findings as (check, where) → state and text."""
    with command("doctor", "--json", *arguments) as running:
        exit_code = running.read_to_the_end()
    found = running.output[running.output.index("[\n") :]
    return exit_code, {(each["check"], each["where"]): (each["state"], each["found"]) for each in json.loads(found)}


def test_this_machine_is_fit_for_two_workers(dataset, tmp_path):
    exit_code, found = doctor("--workers", 2, "--dataset", dataset, "--run", tmp_path / "run")
    assert exit_code == 0
    assert {state for state, _ in found.values()} <= {"ok", "warning", "skipped"}
    assert "2 ranks on 1 host agree" in found["allreduce", "cluster"][1]
    assert "3 in train" in found["row groups", "driver"][1]
    assert not (tmp_path / "run").exists()


def test_what_is_wrong_with_an_executor_is_found_and_training_refused(cluster, dataset, tmp_path):
    exit_code, found = doctor("--master", cluster, "--workers", 2, "--dataset", dataset, "--run", tmp_path / "run")
    assert exit_code == 2
    assert found["packages", "second-host"] == ("failed", "numpy 9.9 (driver: 1.26.4)")
    assert found["packages", "first-host"][0] == "ok"
    assert found["executors", "cluster"] == ("ok", "2 of 2 executors, on first-host, second-host")
    assert found["allreduce", "cluster"][0] == "skipped"
    network = [text for (check, _), (_, text) in found.items() if check == "network"]
    assert {text.split(" by ")[0] for text in network} >= {"first-host answers", "second-host answers"}
    with command("train", dataset, tmp_path / "run", "--master", cluster, "--workers", 2) as training:
        assert training.read_to_the_end() == 2
    assert "error: packages on second-host: numpy 9.9 (driver: 1.26.4)" in training.output
    assert not (tmp_path / "run").exists(), "nothing is begun"


def test_dynamic_allocation_is_refused_before_anything_waits_for_it(cluster, dataset, tmp_path):
    dynamic = ("--conf", "spark.dynamicAllocation.enabled=true")
    dynamic += ("--conf", "spark.dynamicAllocation.shuffleTracking.enabled=true")
    with command("train", dataset, tmp_path / "run", "--master", cluster, *dynamic) as training:
        assert training.read_to_the_end() == 2
    assert "spark.dynamicAllocation.enabled is true" in training.output
    assert not (tmp_path / "run").exists()


def test_a_run_refused_for_slots_leaves_an_earlier_one_alone(cluster, dataset, tmp_path):
    run = tmp_path / "run"
    hvdcells.train(dataset, run, SMALL, backend=InProcess())
    before = sorted(path.relative_to(run) for path in run.rglob("*"))
    with command(
        "train", dataset, run, "--master", cluster, "--workers", 3, "--overwrite", "--start-timeout", 1
    ) as training:
        assert training.read_to_the_end() == 2
    assert "task slots in 1 s" in training.output
    assert sorted(path.relative_to(run) for path in run.rglob("*")) == before
