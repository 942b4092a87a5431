"""From the description of a cluster to Spark settings: what is possible fits, what is not is refused."""

import json
import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdcells.errors import UserError, UserErrors
from launch.clusters.instances import catalogue
from launch.clusters.spark_settings import DISCOVERY_SCRIPT, spark_settings
from launch.clusters.spec import ClusterSpec, driver_container_gib, read_spec, usable_memory_gib

asked = st.fixed_dictionaries(
    {"worker_instance": st.sampled_from([*catalogue().instances, "ml.g5.xlarge", "our-own"])},
    optional={
        "num_machines": st.integers(1, 40),
        "num_executors": st.integers(1, 40),
        "executors_per_machine": st.integers(1, 9),
        "vcpus": st.integers(1, 64),
        "memory_gib": st.floats(1, 500),
        "num_gpus": st.integers(0, 8),
        "threads": st.integers(1, 70),
        "executor_memory_gib": st.floats(0.1, 500),
        "driver_memory_gib": st.floats(0.5, 64),
        "price_model": st.sampled_from(["on-demand", "spot"]),
    },
)


def mib(text):
    assert text.endswith("m")
    return int(text[:-1])


@given(asked=asked, stage=st.sampled_from(["etl", "train", "evaluate"]))
def test_executors_fit_the_machines_or_the_cluster_is_refused(asked, stage):
    try:
        spec = ClusterSpec.of(**asked)
    except UserError:
        return
    settings = spark_settings(spec, stage)
    number, cores = int(settings["spark.executor.instances"]), int(settings["spark.executor.cores"])
    each = spec.executors_per_machine if stage != "etl" else 1
    memory = mib(settings["spark.executor.memory"]) + mib(settings["spark.executor.memoryOverhead"])
    assert 1 <= number <= spec.num_machines * each
    assert each * cores <= spec.vcpus
    assert int(settings["spark.cores.max"]) == number * cores
    assert mib(settings["spark.executor.memory"]) >= 512
    assert mib(settings["spark.executor.memoryOverhead"]) > 0
    driver = driver_container_gib(spec.driver_memory_gib)
    assert each * memory / 1024 + driver <= usable_memory_gib(spec.memory_gib) + 1e-6
    slots = cores // int(settings["spark.task.cpus"])
    if stage == "etl":
        assert slots == cores
        assert not [key for key in settings if ".resource.gpu." in key]
        return
    assert slots == 1, "one task per executor"
    assert number == spec.num_executors
    assert settings.get("spark.executor.resource.gpu.amount") == ("1" if spec.num_gpus else None)
    assert each <= spec.num_gpus or not spec.num_gpus


@given(asked=asked)
def test_a_spec_is_the_same_after_json(asked):
    try:
        spec = ClusterSpec.of(**asked)
    except UserError:
        return
    assert ClusterSpec.model_validate_json(spec.model_dump_json()) == spec
    assert ClusterSpec.of(**spec.model_dump()) == spec


def test_gpus_alone_make_a_cluster():
    spec = ClusterSpec.of(worker_instance="g4dn.12xlarge", num_executors=6)
    assert (spec.num_machines, spec.executors_per_machine, spec.num_executors) == (2, 4, 6)
    assert spec.threads == 11
    settings = spark_settings(spec, "train")
    assert settings["spark.task.resource.gpu.amount"] == "1"
    assert settings["spark.dynamicAllocation.enabled"] == settings["spark.speculation"] == "false"
    assert spark_settings(spec, "etl")["spark.cores.max"] == str(2 * 47)


def test_cpu_machines_get_one_executor_each_with_the_stated_threads():
    spec = ClusterSpec.of(worker_instance="m5.2xlarge", num_machines=3, threads=6)
    settings = spark_settings(spec, "train")
    assert settings["spark.executor.instances"] == "3"
    assert settings["spark.task.cpus"] == settings["spark.executorEnv.OMP_NUM_THREADS"] == "6"
    assert not [key for key in settings if "gpu" in key.lower()]


def test_all_reasons_against_a_cluster_come_together():
    with pytest.raises(UserErrors) as caught:
        ClusterSpec.of(
            worker_instance="g4dn.xlarge",
            num_machines=2,
            executors_per_machine=2,
            num_executors=9,
            threads=4,
            executor_memory_gib=64,
        )
    words = str(caught.value)
    for reason in ("1 GPUs", "9 executors on 2 machines", "4 threads on a machine with 4 cores", "machine of 16 GiB"):
        assert reason in words
    with pytest.raises(UserErrors) as caught:
        ClusterSpec.of(worker_instance="g4dn.xlarge", num_gpus=4, vcpus=8)
    assert len(caught.value.problems) == 2
    with pytest.raises(UserErrors, match=r"(?s)num_machines=0.*price_model='free'.*gpus=3"):
        ClusterSpec.of(num_machines=0, gpus=3, price_model="free")


def test_a_machine_that_no_table_has_needs_its_sizes():
    with pytest.raises(UserError, match="without vcpus and memory_gib"):
        ClusterSpec.of(worker_instance="under-the-desk")
    spec = ClusterSpec.of(worker_instance="under-the-desk", vcpus=8, memory_gib=64, num_gpus=2)
    assert (spec.num_executors, spec.threads) == (2, 3)


@pytest.mark.parametrize("text", ["worker_instance: m5.xlarge\nnum_machines: 2\n", '{"worker_instance": "m5.xlarge"}'])
def test_a_file_describes_a_cluster_and_options_win(tmp_path, text):
    file = tmp_path / "cluster.yaml"
    file.write_text(text)
    spec = read_spec(file, num_machines=3, threads=None)
    assert (spec.worker_instance, spec.num_machines) == ("m5.xlarge", 3)


@pytest.mark.parametrize("text", [None, "- a list", "a: [", "\x00"])
def test_a_file_that_describes_none_is_refused(tmp_path, text):
    file = tmp_path / "cluster.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match="description"):
        read_spec(file)


@pytest.mark.parametrize("uuids", [["GPU-0a-1", "GPU-0b-2"], ["GPU-7"], []])
def test_the_discovery_script_prints_what_spark_reads(tmp_path, uuids):
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\n" + "".join(f"echo ' {uuid}'\n" for uuid in uuids))
    smi.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    out = subprocess.run([DISCOVERY_SCRIPT], env=environment, capture_output=True, text=True, check=True).stdout
    assert json.loads(out) == {"name": "gpu", "addresses": uuids}


def test_the_discovery_script_fails_where_there_is_no_driver(tmp_path):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'no devices'\nexit 9\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([DISCOVERY_SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no devices" in done.stderr
