"""The process that makes a standing cluster, watches over it, and takes it down when whoever wanted it is gone.

Its standard input is held open by that process: whatever way it ends, kill -9 included, the input ends. Should the
supervisor itself be killed, the kernel kills master and workers, and what is left is removed by the next one.
"""

import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TextIO

from benchmarks.namespaces import DRIVER, Host, make_hosts, plan_hosts, remove_hosts
from hvdcells.spark.session import use_bundled_java

STATE = Path("/run/hvdcells-cluster")
"""Holds `lock`, which the living supervisor has locked, `cluster.json` and the logs."""
MASTER_URL = f"spark://{DRIVER.address}:7077"
READY_SECONDS = 120
PR_SET_PDEATHSIG = 1


def take_lock() -> TextIO | None:
    """Lock the state folder for this process; None if a living supervisor has it."""
    STATE.mkdir(parents=True, exist_ok=True)
    lock = (STATE / "lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def start(host: Host, name: str, *arguments: str) -> subprocess.Popen:
    """Start a class of Spark on a host; its output goes to the log of that name."""
    import pyspark

    home = Path(pyspark.__file__).parent
    libc = ctypes.CDLL(None)  # before the fork, after which nothing should be loaded
    environment = {
        **os.environ,
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": host.address,
        "SPARK_WORKER_DIR": str(STATE / "work" / host.name),
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_NO_DAEMONIZE": "1",
        "PYSPARK_PYTHON": sys.executable,
    }
    with (STATE / f"{name}.log").open("w") as log:
        return subprocess.Popen(
            host.command(str(home / "bin" / "spark-class"), *arguments),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
        )


def wait_for(name: str, words: str, process: subprocess.Popen) -> None:
    """Wait for words in a log."""
    path, deadline = STATE / f"{name}.log", time.monotonic() + READY_SECONDS
    while words not in path.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            state = "ended" if process.poll() is not None else f"not ready after {READY_SECONDS} s"
            raise RuntimeError(f"{name}: {state}\n" + "\n".join(path.read_text().splitlines()[-10:]))
        time.sleep(0.1)


def bring_up(num_hosts: int, cores: int, memory: str) -> list[subprocess.Popen]:
    """Make the hosts and start the Spark master and the workers; returns when all are registered."""
    hosts = plan_hosts(num_hosts, cores)
    make_hosts(hosts)
    master = start(DRIVER, "master", "org.apache.spark.deploy.master.Master", "--host", DRIVER.address)
    wait_for("master", "I have been elected leader", master)
    worker = "org.apache.spark.deploy.worker.Worker"
    processes = {
        host.name: start(host, host.name, worker, MASTER_URL, "--host", host.address, "-c", str(cores), "-m", memory)
        for host in hosts
    }
    for name, process in processes.items():
        wait_for(name, "Successfully registered with master", process)
    state = {
        "pid": os.getpid(),
        "master": MASTER_URL,
        "cores": cores,
        "memory": memory,
        "hosts": [{"name": host.name, "address": host.address, "cores": host.cores} for host in hosts],
    }
    (STATE / "cluster.json").write_text(json.dumps(state, indent=1) + "\n")
    return [master, *processes.values()]


def take_down() -> None:
    """Remove the cluster, living or stale, and its state."""
    remove_hosts()
    shutil.rmtree(STATE / "work", ignore_errors=True)
    (STATE / "cluster.json").unlink(missing_ok=True)


def _end(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def main() -> None:
    """Be the supervisor: `HOSTS CORES MEMORY`; prints one line of JSON when the cluster stands or cannot."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that holds the input
    lock = take_lock()
    if lock is None:
        print(json.dumps({"busy": True}), flush=True)
        return
    use_bundled_java()
    take_down()  # what an earlier one left
    try:
        try:
            processes = bring_up(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
        except (RuntimeError, OSError) as error:
            print(json.dumps({"error": str(error)}), flush=True)
            return
        print(json.dumps({"master": MASTER_URL}), flush=True)
        # Nothing is ever written to the input: it is readable when it has ended.
        while not select.select([sys.stdin], [], [], 1)[0] and all(process.poll() is None for process in processes):
            pass
    finally:
        take_down()


if __name__ == "__main__":
    main()
