"""The doctor's judgements: facts in, findings out."""

import pytest

from launch.doctor.checks import (
    GIB,
    judge_clocks,
    judge_disk,
    judge_gpus,
    judge_horovod,
    judge_memory,
    judge_names,
    judge_network,
    judge_overhead,
    judge_reached,
)

DRIVER = {"host": "driver", "interfaces": {"lo": ["127.0.0.1"], "eth0": ["10.0.0.1"]}}
HOROVOD = {"gloo": True, "nccl": True, "tensorflow": "2.18.1", "gpus": 1, "cuda": True}


def executor(host, by, interfaces=("eth0",), resolves=True):
    reached = [{"host": name, "resolves": resolves, "by": answers} for name, answers in by.items()]
    own = {name: ["10.0.0.2"] for name in interfaces}
    return {"host": host, "interfaces": own, "reached": reached, "own_name_resolves": True}


def test_every_executor_is_counted():
    answers = [{"host": "a", "executor": "a:1"}, {"host": "a", "executor": "a:1"}, {"host": "b", "executor": "b:1"}]
    assert judge_reached(answers, 2).state == "ok"
    assert judge_reached(answers, 3).state == "warning"
    assert "2 of 3" in judge_reached(answers, 3).found


def test_horovod_that_does_not_load_says_why():
    assert judge_horovod("a", HOROVOD).state == "ok"
    assert judge_horovod("a", {"error": "ImportError: undefined symbol"}).found == "ImportError: undefined symbol"
    assert judge_horovod("a", {**HOROVOD, "gloo": False}).state == "failed"


@pytest.mark.parametrize(
    ("gpus", "facts", "states"),
    [
        ([], {**HOROVOD, "gpus": 0}, ["skipped"]),
        ([], {**HOROVOD, "gpus": 2}, ["warning"]),
        (["0"], HOROVOD, ["ok", "ok"]),
        (["0"], {**HOROVOD, "nccl": False}, ["ok", "warning"]),
        (["0"], {**HOROVOD, "gpus": 0}, ["failed", "ok"]),
        (["0"], {"error": "no"}, ["skipped"]),
    ],
)
def test_gpus(gpus, facts, states):
    assert [finding.state for finding in judge_gpus("a", gpus, facts)] == states


def test_hosts_that_answer_by_an_interface_of_one_name_are_fine():
    own = executor("a", {"driver": {"lo": True, "eth0": True}, "b": {"eth0": True}})
    assert {finding.state for finding in judge_network("a", DRIVER, [own, executor("b", {})])} == {"ok"}


@pytest.mark.parametrize(
    ("by", "interfaces", "words"),
    [
        ({"eth0": False}, ("eth0",), "b answers by no interface"),
        ({"ens5": True}, ("ens5",), "one name: none"),
        ({"docker0": True, "eth0": False}, ("eth0",), "b answers by docker0"),
    ],
)
def test_hosts_that_do_not_answer_so_are_named(by, interfaces, words):
    own = executor("a", {"driver": {"eth0": True}, "b": by})
    failed = [
        finding
        for finding in judge_network("a", DRIVER, [own, executor("b", {}, interfaces)])
        if finding.state == "failed"
    ]
    assert words in failed[-1].found


def test_one_host_needs_no_network():
    assert [f.found for f in judge_network("driver", DRIVER, [executor("driver", {})])] == ["one host"]


def test_names_that_do_not_resolve():
    assert judge_names("a", executor("a", {"b": {}})).state == "ok"
    assert judge_names("a", executor("a", {"b": {}}, resolves=False)).state == "warning"
    own = {**executor("a", {"b": {}}), "own_name_resolves": False}
    assert judge_names("a", own).state == "failed", "gloo would end by SIGSEGV"


@pytest.mark.parametrize(("gib", "executors", "state"), [(8, 1, "ok"), (8, 4, "warning"), (8, 9, "failed")])
def test_executors_share_the_memory_and_disk_of_their_host(gib, executors, state):
    assert judge_memory("a", {"memory_bytes": gib * GIB}, executors).state == state
    free = {"disk": {"folder": "/tmp", "free_bytes": gib * GIB * 0.6}}
    assert judge_disk("a", free, 1).state == "ok"
    assert judge_disk("a", free, 9 * executors).state == ("failed" if executors > 1 else "warning")


@pytest.mark.parametrize(("apart", "state"), [(0.3, "ok"), (20, "warning"), (400, "failed")])
def test_clocks(apart, state):
    finding = judge_clocks({"driver": 1000.0, "a": 1000.0 - apart, "b": 1000.0})
    assert finding.state == state
    assert state == "ok" or "a behind" in finding.found


@pytest.mark.parametrize(
    ("master", "settings", "state"),
    [
        ("spark://h:7077", {}, None),
        ("yarn", {}, "warning"),
        ("yarn", {"spark.executor.memoryOverhead": "3g"}, "ok"),
        ("yarn", {"spark.executor.memoryOverhead": "3000"}, "ok"),
        ("yarn", {"spark.executor.memory": "8g", "spark.executor.memoryOverheadFactor": "0.4"}, "ok"),
        ("k8s://h", {"spark.executor.pyspark.memory": "2GB"}, "ok"),
        ("yarn", {"spark.executor.memoryOverhead": "512m"}, "warning"),
    ],
)
def test_memory_that_yarn_leaves_python(master, settings, state):
    finding = judge_overhead(master, settings)
    assert (finding and finding.state) == state
