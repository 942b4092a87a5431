"""The doctor's judgement of facts: numbers and names in, findings out."""

from collections.abc import Mapping, Sequence
from typing import Any

from hvdcells.errors import UserError
from hvdcells.rank.gpu import position_of_gpu
from hvdcells.spark.preflight.findings import Finding, State

GIB = 1 << 30
MEMORY_GIB = (1.0, 2.5)
"""Of a rank, TensorFlow, a small model and its input: less than the first fails, less than the second may."""
DISK_GIB = (0.5, 2.0)
CLOCK_SECONDS = (60.0, 5.0)
"""Clocks further apart than the first spoil what tells a dead owner of a run from a slow one."""
OVERHEAD_MIB = 2048
_LOOPBACK = "127."

Facts = Mapping[str, Any]


def judge_reached(answers: Sequence[Facts], num_executors: int) -> Finding:
    """Judge whether every executor has answered."""
    executors = {facts["executor"] for facts in answers}
    hosts = sorted({facts["host"] for facts in answers})
    found = f"{len(executors)} of {num_executors} executors, on {', '.join(hosts[:8])}{' ...' * (len(hosts) > 8)}"
    if len(executors) >= num_executors:
        return Finding("executors", "cluster", "ok", found)
    remedy = "run the doctor with as many --workers as the cluster has task slots, and nothing else running"
    return Finding("executors", "cluster", "warning", found, "an answer of each", remedy)


def judge_horovod(where: str, facts: Facts) -> Finding:
    """Judge whether Horovod's extension loads beside TensorFlow."""
    expected, remedy = "an extension built against this TensorFlow, with gloo", "build it again: make setup, or "
    remedy += "`uv pip install --reinstall horovod` as pyproject.toml says"
    if "error" in facts:
        return Finding("Horovod", where, "failed", facts["error"], expected, remedy)
    built = [name for name in ("gloo", "nccl") if facts[name]]
    found = f"loads with TensorFlow {facts['tensorflow']}; {' and '.join(built) or 'neither gloo nor NCCL'}"
    return Finding("Horovod", where, "ok" if facts["gloo"] else "failed", found, expected, remedy)


def judge_gpus(where: str, gpus: Sequence[str], horovod: Facts, restriction: str | None = None) -> list[Finding]:
    """Judge whether TensorFlow sees the GPU that Spark gave a task, and Horovod reduces over NCCL.

    Args:
        where: host.
        gpus: addresses that Spark gave the task.
        horovod: what the child process has found.
        restriction: `CUDA_VISIBLE_DEVICES` of the executor.
    """
    if not gpus:
        seen = horovod.get("gpus", 0)
        if not seen:
            return [Finding("GPU", where, "skipped", "no GPU on the machine, and Spark schedules none")]
        remedy = (
            "--conf spark.executor.resource.gpu.amount=1 --conf spark.task.resource.gpu.amount=1; see docs/launch.md"
        )
        found = f"{seen} on the machine, and Spark schedules none: the ranks of a host choose by their own count"
        return [Finding("GPU", where, "warning", found, "GPUs that Spark gives its tasks", remedy)]
    if "error" in horovod:
        return [Finding("GPU", where, "skipped", "not tried: Horovod does not load")]
    try:
        position_of_gpu(gpus[0], restriction, horovod["gpus"], 0)
        findings = [Finding("GPU", where, "ok", f"{gpus[0]}, which TensorFlow sees")]
    except UserError as error:
        findings = [Finding("GPU", where, "failed", error.given, error.expected, error.remedy)]
    state: State = "ok" if horovod["nccl"] else "warning"
    found = "Horovod is built with it" if horovod["nccl"] else "Horovod is built without: gradients go over the CPU"
    remedy = "build Horovod with HOROVOD_GPU_OPERATIONS=NCCL: launch/assets/build_horovod_nccl.sh"
    return [*findings, Finding("NCCL", where, state, found, "Horovod built with NCCL", remedy)]


def judge_network(where: str, driver: Mapping[str, Any], answers: Sequence[Facts]) -> list[Finding]:
    """Judge one executor's way to the driver and to the other executors, and the names of interfaces.

    Horovod talks over interfaces that all hosts have under one name.

    Args:
        where: host of the executor.
        driver: `host` and `interfaces` of the driver.
        answers: the executor's own facts first, then those of the others.
    """
    own, *others = answers
    apart = {own["host"], *(each["host"] for each in others), driver["host"]}
    if len(apart) == 1:
        return [Finding("network", where, "ok", "one host")]
    common = _outward(own["interfaces"]).intersection(
        _outward(driver["interfaces"]), *(_outward(each["interfaces"]) for each in others)
    )
    findings = []
    for peer in own["reached"]:
        by = sorted(name for name, answered in peer["by"].items() if answered and name in common)
        if peer["host"] == own["host"]:
            continue
        if by:
            findings.append(Finding("network", where, "ok", f"{peer['host']} answers by {', '.join(by)}"))
            continue
        answered = sorted(name for name, answered in peer["by"].items() if answered)
        found = f"{peer['host']} answers by {', '.join(answered) or 'no interface'}"
        found += f"; interfaces that all hosts have under one name: {', '.join(sorted(common)) or 'none'}"
        remedy = (
            "open all ports between the machines of the cluster and the driver; where interfaces have other names, "
        )
        remedy += "use machines of one type, and a driver on one of them"
        findings.append(
            Finding("network", where, "failed", found, "an interface of one name over which it answers", remedy)
        )
    return findings


def judge_names(where: str, facts: Facts) -> Finding:
    """Judge whether a host knows the names of all hosts; one that does not know its own ends gloo by SIGSEGV."""
    unknown = sorted({peer["host"] for peer in facts["reached"] if not peer["resolves"]})
    if not facts["own_name_resolves"]:
        found, remedy = (
            f"its own name {facts['host']} is unknown there",
            "add it to /etc/hosts of that machine, or to DNS",
        )
        return Finding("host names", where, "failed", found, "a host that resolves its own name", remedy)
    if not unknown:
        return Finding("host names", where, "ok", "every host is known by name")
    remedy = "add them to DNS or /etc/hosts; ranks find each other by address, Spark may not"
    return Finding("host names", where, "warning", f"unknown: {', '.join(unknown)}", "names that resolve", remedy)


def _outward(interfaces: Mapping[str, Sequence[str]]) -> set[str]:
    return {name for name, found in interfaces.items() if not all(each.startswith(_LOOPBACK) for each in found)}


def judge_memory(where: str, facts: Facts, executors_here: int) -> Finding:
    """Judge memory, which the executors of a host share."""
    share = facts["memory_bytes"] / executors_here / GIB
    found = f"{share:.1f} GiB left" + f" for each of {executors_here} executors" * (executors_here > 1)
    remedy = "end what else runs there, use fewer workers a machine, or machines with more memory"
    return Finding("memory", where, _enough(share, MEMORY_GIB), found, f"{MEMORY_GIB[1]} GiB a rank", remedy)


def judge_disk(where: str, facts: Facts, executors_here: int) -> Finding:
    """Judge the disk of temporary files, which the executors of a host share."""
    free = facts["disk"]["free_bytes"] / GIB
    found = f"{free:.1f} GiB free in {facts['disk']['folder']}"
    remedy = "free some, or set spark.local.dir and TMPDIR to a larger disk"
    return Finding("disk", where, _enough(free / executors_here, DISK_GIB), found, f"{DISK_GIB[1]} GiB a rank", remedy)


def _enough(value: float, limits: tuple[float, float]) -> State:
    fails_below, warns_below = limits
    return "failed" if value < fails_below else "warning" if value < warns_below else "ok"


def judge_clocks(times: Mapping[str, float]) -> Finding:
    """Judge how far apart clocks are that were read at the same moment.

    Args:
        times: seconds since 1970, by host.
    """
    apart = max(times.values()) - min(times.values())
    fails_above, warns_above = CLOCK_SECONDS
    state: State = "failed" if apart > fails_above else "warning" if apart > warns_above else "ok"
    slow, fast = min(times, key=times.__getitem__), max(times, key=times.__getitem__)
    found = f"at most {apart:.1f} s apart" + (f" ({slow} behind {fast})" if state != "ok" else "")
    return Finding(
        "clocks", "cluster", state, found, f"less than {warns_above:g} s", "run chrony or ntpd on every machine"
    )


def judge_overhead(master: str, settings: Mapping[str, str]) -> Finding | None:
    """Judge what YARN and Kubernetes leave a rank, which is Python's memory and not the JVM's; None elsewhere."""
    if not master.startswith(("yarn", "k8s")):
        return None
    heap = _mib(settings.get("spark.executor.memory", "1g"))
    factor = float(settings.get("spark.executor.memoryOverheadFactor", "0.1"))
    stated = settings.get("spark.executor.memoryOverhead")
    left = _mib(stated) if stated else max(384.0, heap * factor)
    left += _mib(settings.get("spark.executor.pyspark.memory", "0"))
    found = f"{left:.0f} MiB beside the JVM's heap of {heap:.0f} MiB"
    remedy = (
        "--conf spark.executor.memoryOverhead=4g; the cluster manager ends a rank that takes more than it was given"
    )
    state: State = "ok" if left >= OVERHEAD_MIB else "warning"
    return Finding("memory of a rank", "cluster", state, found, f"{OVERHEAD_MIB} MiB", remedy)


def _mib(size: str) -> float:
    """Return a size as Spark writes them; a number alone is MiB."""
    text = size.strip().lower().removesuffix("b")
    units = {"k": 1 / 1024, "m": 1, "g": 1024, "t": 1024**2}
    return float(text[:-1]) * units[text[-1]] if text[-1:] in units else float(text or 0)
