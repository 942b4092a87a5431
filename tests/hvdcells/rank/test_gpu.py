"""Each rank gets the GPU that Spark gave its task. The machine needs none: addresses are made up."""

import json
import os
import subprocess
import sys

import pytest

from hvdcells.errors import UserError
from hvdcells.rank.gpu import assigned_gpus, position_of_gpu
from launch.clusters.spark_settings import spark_settings
from launch.clusters.spec import ClusterSpec
from tests.processes import ROOT
from tests.standalone import WorkerHost, own_host, standalone_cluster


@pytest.mark.parametrize(
    ("address", "restriction", "num_visible", "local_rank", "position"),
    [
        pytest.param(None, None, 0, 3, None, id="no GPUs at all"),
        pytest.param(None, None, 4, 3, 3, id="Spark does not schedule GPUs"),
        pytest.param(None, None, 2, 3, 1, id="more ranks than GPUs"),
        pytest.param("3", None, 8, 0, 3, id="the fourth of eight, though the first rank of its host"),
        pytest.param("3", "1,3", 2, 0, 1, id="restricted to some, named as nvidia-smi does"),
        pytest.param("3", " 3 , 1", 2, 1, 0, id="the order is that of the restriction"),
        pytest.param("5", None, 1, 0, 0, id="YARN isolates: the one device is seen as 0"),
        pytest.param("0", "6", 1, 0, 0, id="isolated, and restricted by the number outside"),
        pytest.param("GPU-1f-2", "GPU-1f-2", 1, 5, 0, id="UUID"),
        pytest.param("MIG-1f-2", "MIG-1f-2", 1, 5, 0, id="part of a GPU"),
    ],
)
def test_position(address, restriction, num_visible, local_rank, position):
    assert position_of_gpu(address, restriction, num_visible, local_rank) == position


@pytest.mark.parametrize(
    ("address", "restriction", "num_visible"),
    [("3", None, 2), ("0", None, 0), ("2", "0,1", 2), ("0", "GPU-1,GPU-2", 2), ("GPU-9", "GPU-9", 0), ("0", "", 0)],
)
def test_a_gpu_that_is_not_seen_is_no_reason_to_take_another(address, restriction, num_visible):
    with pytest.raises(UserError, match=f"gave the GPU '{address}'"):
        position_of_gpu(address, restriction, num_visible, local_rank=0)


def test_no_gpu_is_assigned_outside_of_spark():
    assert assigned_gpus() == []


def discovery_script(path, *addresses):
    path.write_text(f"#!/bin/sh\necho '{json.dumps({'name': 'gpu', 'addresses': addresses})}'\n")
    path.chmod(0o755)
    return path


def ranks_on(master, num_ranks, settings):
    done = subprocess.run(
        [sys.executable, "-m", "tests.hvdcells.rank.gpu_ranks", master, str(num_ranks), json.dumps(settings)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "7"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RANKS")]
    return json.loads(line.removeprefix("RANKS"))


def check_refusals(ranks):
    """There are no such GPUs here: each rank has looked for its own one and for no other."""
    for rank in ranks:
        assert f"'{rank['assigned'][0]}'" in rank["refusal"]
        assert rank["threads"] == "1"


@pytest.mark.spark
@pytest.mark.ranks
@pytest.mark.slow
def test_two_ranks_on_one_host_get_two_gpus(tmp_path):
    script = discovery_script(tmp_path / "gpus", "GPU-a", "GPU-b")
    spec = ClusterSpec.of(worker_instance="here", vcpus=2, memory_gib=8, num_gpus=2, threads=1, executor_memory_gib=1.5)
    settings = spark_settings(spec, "train") | {
        "spark.worker.resource.gpu.amount": "2",
        "spark.worker.resource.gpu.discoveryScript": str(script),
    }
    ranks = ranks_on("local-cluster[1,2,1024]", 2, settings)
    assert sorted(rank["assigned"] for rank in ranks) == [["GPU-a"], ["GPU-b"]]
    assert all(rank["visible"] == rank["assigned"][0] for rank in ranks), "not the 7 of the environment"
    assert sorted(rank["local_rank"] for rank in ranks) == [0, 1]
    check_refusals(ranks)


@pytest.mark.spark
@pytest.mark.ranks
@pytest.mark.slow
def test_ranks_on_two_hosts_get_the_gpus_of_their_hosts(tmp_path):
    try:
        subprocess.run([*own_host(), "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine does not let processes be hosts of their own (unshare --uts)")
    spec = ClusterSpec.of(
        worker_instance="here", num_machines=2, vcpus=1, memory_gib=6, num_gpus=1, executor_memory_gib=1.5
    )
    hosts = [
        WorkerHost(
            options="-Dspark.worker.resource.gpu.amount=1 "
            f"-Dspark.worker.resource.gpu.discoveryScript={discovery_script(tmp_path / address, address)}",
            prefix=own_host(),
        )
        for address in ("3", "5")
    ]
    with standalone_cluster(tmp_path / "cluster", hosts) as master:
        ranks = ranks_on(master, 2, spark_settings(spec, "train"))
    assert sorted(rank["assigned"] for rank in ranks) == [["3"], ["5"]]
    assert [rank["local_rank"] for rank in ranks] == [0, 0]
    assert len({rank["host"] for rank in ranks}) == 2
    assert [rank["visible"] for rank in ranks] == [None, None], "the driver's restriction is not that of other hosts"
    check_refusals(ranks)
