"""What the doctor asks of every executor. Sent by value; it needs the standard library, and uses what else is there."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hvdcells.spark.preflight.probe import ask

CONNECT_SECONDS = 3.0
CHILD_SECONDS = 180.0
HOROVOD_CHILD = """
import json, os, sys
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import horovod.tensorflow as hvd
import tensorflow as tf
facts = {
    "gloo": hvd.gloo_built(), "nccl": bool(hvd.nccl_built()), "tensorflow": tf.__version__,
    "gpus": len(tf.config.list_physical_devices("GPU")), "cuda": tf.test.is_built_with_cuda(),
}
print("FACTS", json.dumps(facts))
"""


def examine(context: Any, question: dict[str, Any]) -> dict[str, Any]:
    """Answer all that the doctor asks, in a task that runs at the same time as those of all other executors.

    The first task of each executor answers in full; the others take part in what all do together.

    Args:
        context: the `BarrierTaskContext`.
        question: that of `hvdcells.spark.preflight.probe.ask`, and `driver`, what `listening` gives there.
    """
    facts = ask(context, question)
    with listener() as listening_socket:
        own = {**listening(listening_socket), "executor": facts["executor"], "task": context.partitionId()}
        everyone = [json.loads(text) for text in context.allGather(json.dumps(own))]
        first_tasks = {each["executor"]: each for each in reversed(everyone)}
        facts["is_first"] = first_tasks[facts["executor"]]["task"] == own["task"]
        if facts["is_first"]:
            others = [each for each in first_tasks.values() if each["executor"] != facts["executor"]]
            facts["reached"] = reach([question["driver"], *others])
        context.barrier()  # nobody stops listening before all have tried
    facts["time"] = time.time()
    facts["interfaces"] = own["interfaces"]
    if facts["is_first"]:
        facts |= machine()
        facts["own_name_resolves"] = _resolves(facts["host"])
        facts["restriction"] = os.environ.get("CUDA_VISIBLE_DEVICES")
        facts["horovod"] = horovod_facts()
    return facts


def listener() -> socket.socket:
    """Listen on all interfaces, on a port of the system's choice."""
    return socket.create_server(("0.0.0.0", 0), backlog=256)


def listening(opened: socket.socket) -> dict[str, Any]:
    """Return where a listener is found: host name, port, and addresses by interface."""
    return {"host": socket.gethostname(), "port": opened.getsockname()[1], "interfaces": interfaces()}


def interfaces() -> dict[str, list[str]]:
    """Return the IPv4 addresses of this host by interface; without psutil, which comes with Horovod, none."""
    try:
        import psutil
    except ImportError:
        return {}
    addresses = {
        name: [each.address for each in found if each.family == socket.AF_INET]
        for name, found in psutil.net_if_addrs().items()
    }
    return {name: found for name, found in addresses.items() if found}


def reach(others: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Try to connect to listeners; return for each its host, whether its name resolves, and by interface if it answers.

    Args:
        others: what `listening` gave there.
    """

    def answers(address: str, port: int) -> bool:
        try:
            with socket.create_connection((address, port), timeout=CONNECT_SECONDS):
                return True
        except OSError:
            return False

    with ThreadPoolExecutor(16) as pool:
        tried = {
            (index, name, address): pool.submit(answers, address, other["port"])
            for index, other in enumerate(others)
            for name, addresses in other["interfaces"].items()
            for address in addresses
        }
        reached = [{"host": other["host"], "resolves": _resolves(other["host"]), "by": {}} for other in others]
        for (index, name, _), answer in tried.items():
            by = reached[index]["by"]
            by[name] = by.get(name, False) or answer.result()
    return reached


def _resolves(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True


def machine() -> dict[str, Any]:
    """Return memory and disk of this machine, as far as this process may use them, in bytes."""
    with Path("/proc/meminfo").open() as lines:
        sizes = {name: int(value.split()[0]) * 1024 for name, value in (line.split(":") for line in lines)}
    available = min([sizes["MemAvailable"], *_left_in_cgroup()])
    folder = tempfile.gettempdir()
    return {
        "memory_bytes": available,
        "cores": len(os.sched_getaffinity(0)),
        "disk": {"folder": folder, "free_bytes": shutil.disk_usage(folder).free},
    }


def _left_in_cgroup() -> list[int]:
    """Return what a container's limit on memory leaves, if there is one."""
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            return [int(Path(limit).read_text()) - int(Path(used).read_text())]
        except (OSError, ValueError):  # no such version of cgroups, or "max"
            continue
    return []


def horovod_facts() -> dict[str, Any]:
    """Load Horovod and TensorFlow in a process of their own; return what they are built with, or the `error`."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", HOROVOD_CHILD], capture_output=True, text=True, timeout=CHILD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"loading it took more than {CHILD_SECONDS:g} s"}
    for line in done.stdout.splitlines():
        if line.startswith("FACTS "):
            facts: dict[str, Any] = json.loads(line.removeprefix("FACTS "))
            return facts
    said = [line for line in done.stderr.splitlines() if line.strip()]
    return {"error": said[-1][:300] if said else f"it ended with status {done.returncode}"}
