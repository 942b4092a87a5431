import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import namespaces
from benchmarks.cluster import standing_cluster
from benchmarks.namespaces import plan_hosts
from hvdcells.data.dataset import Dataset
from hvdcells.errors import UserError
from hvdcells.runs.directory import RunDirectory
from tests.processes import ROOT
from tests.small_dataset import write_small_dataset
from tests.suite.leftovers import variables_of


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path, monkeypatch):
    """The Spark of a cluster ends with its hosts, and so without removing its files."""
    for name, value in variables_of(tmp_path).items():
        monkeypatch.setenv(name, value)


TRAIN = """
import sys, hvdcells
from hvdcells import recipes
experiment = recipes.small_cnn().override({"training.epochs": 1, "data.input_size": 24, "data.batch_size": 4})
hvdcells.train(sys.argv[1], sys.argv[2], experiment, workers=2, master=sys.argv[3])
"""


@pytest.fixture(scope="module")
def hosts_allowed():
    if reason := namespaces.why_not_allowed():
        pytest.skip(f"no hosts of their own: {reason}")


def our_namespaces() -> list[str]:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    return [line.split()[0] for line in listed.splitlines() if line.startswith(namespaces.PREFIX)]


def test_hosts_take_turns_on_the_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    hosts = plan_hosts(3, cores_per_host=2)
    assert [host.cores for host in hosts] == [(0, 1), (0, 2), (1, 2)]
    assert len({host.address for host in hosts} | {namespaces.DRIVER_ADDRESS}) == 4


def test_without_namespaces_local_cluster_stands_in_and_says_why(monkeypatch):
    monkeypatch.setattr("benchmarks.cluster.why_not_allowed", lambda: "not here")
    with standing_cluster(hosts=3, cores=2, memory="1g") as cluster:
        assert cluster.master == "local-cluster[3,2,1024]"
        assert cluster.fallback_reason == "not here"
        assert cluster.driver_command(["a", "{master}"]) == ["a", cluster.master]


def test_memory_that_is_none_is_refused():
    with pytest.raises(UserError, match="--memory much"), standing_cluster(1, memory="much"):
        pass


@pytest.mark.usefixtures("hosts_allowed")
@pytest.mark.hosts
@pytest.mark.slow(seconds=60)
@pytest.mark.ranks
@pytest.mark.spark
def test_each_worker_trains_on_its_own_host(tmp_path):
    rows = {"train": [[8, 8]], "validation": [[8, 8]], "test": [[8]]}
    dataset: Dataset = write_small_dataset(tmp_path / "dataset", rows)
    with standing_cluster(hosts=2) as cluster:
        command = [sys.executable, "-c", TRAIN, dataset.location, str(tmp_path / "run"), "{master}"]
        done = subprocess.run(
            cluster.driver_command(command), env=cluster.environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        with pytest.raises(UserError, match="another one stands"), standing_cluster(hosts=1):
            pass
    run = RunDirectory.at(tmp_path / "run")
    assert sorted(run.read_json(run.finished)["hosts"]) == ["hv1", "hv2"]
    assert our_namespaces() == []


@pytest.mark.usefixtures("hosts_allowed")
@pytest.mark.hosts
@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.parametrize("victim", ["up", "supervisor"])
def test_a_killed_cluster_leaves_nothing_that_stays(victim):
    command = [sys.executable, "-u", "-m", "benchmarks.cluster"]
    up = subprocess.Popen([*command, "up", "--hosts", "1"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    for line in up.stdout:
        if line.startswith("Master"):
            break
    else:
        pytest.fail("the cluster did not come up")
    children = Path(f"/proc/{up.pid}/task/{up.pid}/children").read_text().split()
    os.kill(up.pid if victim == "up" else int(children[0]), signal.SIGKILL)
    up.stdout.close()
    up.wait()
    if victim == "supervisor":
        # The kernel has ended Spark's processes; the names are left for whoever comes next.
        subprocess.run([*command, "down"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while our_namespaces() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert our_namespaces() == []
    assert subprocess.run([*command, "status"], cwd=ROOT, stdout=subprocess.DEVNULL).returncode == 1
