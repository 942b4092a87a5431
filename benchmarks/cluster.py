"""A Spark cluster of several hosts on this one machine, each host in its own network namespace.

    python -m benchmarks.cluster up --hosts 4
    python -m benchmarks.cluster run -- hvdcells train DATASET RUN --workers 4 --master {master}
    python -m benchmarks.cluster down

`up` stays in the foreground until Ctrl-C or `down`; however it ends, everything is cleaned up. `run` runs a command as
the driver, in the driver's namespace. Where namespaces are not allowed, Spark's `local-cluster` stands in for the
hosts, and `up` says so. All hosts share the cores and the disk of this machine.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.cluster_supervisor import STATE, take_down, take_lock
from benchmarks.namespaces import DRIVER, why_not_allowed
from hvdcells.errors import UserError
from launch.terminal.messages import print_error

ROOT = Path(__file__).resolve().parent.parent
MASTER_VARIABLE = "SPARK_MASTER"

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__.splitlines()[0])
Hosts = Annotated[int, typer.Option(min=1, max=200, help="Hosts, each with one Spark worker.")]
Cores = Annotated[int, typer.Option(min=1, help="Task slots of each host, and cores of this machine it may use.")]
Memory = Annotated[str, typer.Option(help="Memory of each host for Spark executors, such as 2g.")]


@dataclass(frozen=True)
class Cluster:
    """A standing cluster: its Spark master, and how a command is run as its driver."""

    master: str
    fallback_reason: str | None = None
    """Why there are no hosts of their own, but `local-cluster`; None where there are."""

    def driver_command(self, arguments: list[str]) -> list[str]:
        """Return a command as it is run on the driver's host, `{master}` in it being filled in."""
        arguments = [argument.replace("{master}", self.master) for argument in arguments]
        return arguments if self.fallback_reason else DRIVER.command(*arguments)

    def environment(self) -> dict[str, str]:
        """Return the environment of the driver, with the master's address."""
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        here = {} if self.fallback_reason else {"SPARK_LOCAL_IP": DRIVER.address}
        return {**os.environ, **here, "PYTHONPATH": paths, MASTER_VARIABLE: self.master}


@contextmanager
def standing_cluster(hosts: int, cores: int = 1, memory: str = "2g") -> Iterator[Cluster]:
    """Let a cluster stand for the block; it is taken down after it, also when this process is killed in it.

    Raises:
        UserError: a cluster stands already, or the memory is none.
        RuntimeError: Spark did not start; the message holds the end of its log.
    """
    if not re.fullmatch(r"[1-9]\d*[mg]", memory):
        raise UserError(f"--memory {memory}", "megabytes or gigabytes, such as 1500m or 2g", "correct --memory")
    reason = why_not_allowed()
    if reason is not None:
        megabytes = int(memory[:-1]) * (1024 if memory.endswith("g") else 1)
        yield Cluster(f"local-cluster[{hosts},{cores},{megabytes}]", reason)
        return
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.cluster_supervisor", str(hosts), str(cores), memory],
        env={**os.environ, "PYTHONPATH": paths},
        stdin=subprocess.PIPE,  # its end tells the supervisor that this process has ended
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert supervisor.stdin is not None  # both are pipes
    assert supervisor.stdout is not None
    try:
        answer = json.loads(supervisor.stdout.readline() or '{"error": "the supervisor ended"}')
        if "busy" in answer:
            raise UserError(
                "a cluster while another one stands on this machine",
                "one at a time",
                "use that one, or end it with `python -m benchmarks.cluster down`",
            )
        if "error" in answer:
            raise RuntimeError(f"the cluster did not start: {answer['error']}")
        yield Cluster(answer["master"])
    finally:
        supervisor.stdin.close()
        supervisor.wait()
        supervisor.stdout.close()


def current_state() -> dict | None:
    """Return what is known of the cluster that stands on this machine; None if none does."""
    lock = take_lock() if STATE.exists() else None
    if lock is not None:
        lock.close()
        return None
    try:
        return json.loads((STATE / "cluster.json").read_text())
    except FileNotFoundError:
        return None


@app.command()
def up(hosts: Hosts = 4, cores: Cores = 1, memory: Memory = "2g") -> None:
    """Let a cluster stand until Ctrl-C, `down`, or the end of this process."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with standing_cluster(hosts, cores, memory) as cluster:
        if cluster.fallback_reason:
            print(f"No hosts of their own here: {cluster.fallback_reason}.")
            print(f"Spark's local-cluster stands in for them; nothing need be up. Master: {cluster.master}")
            return
        state = current_state() or {"hosts": []}
        names = ", ".join(f"{host['name']} ({host['address']})" for host in state["hosts"])
        print(f"Hosts: {names}; they share this machine's {len(os.sched_getaffinity(0))} cores.")
        print(f"Master: {cluster.master}, reached through: python -m benchmarks.cluster run -- COMMAND", flush=True)
        with suppress(KeyboardInterrupt):
            while current_state() == state:
                time.sleep(1)


@app.command()
def status() -> None:
    """Say what stands; exit code 1 if nothing does."""
    state = current_state()
    if state is None:
        print("No cluster stands.")
        raise typer.Exit(1)
    print(json.dumps(state, indent=1))


@app.command()
def down() -> None:
    """End the cluster, and remove what a killed one has left."""
    state = current_state()
    if state is not None:
        with suppress(ProcessLookupError):
            os.kill(state["pid"], signal.SIGTERM)
    deadline = time.monotonic() + 30
    while STATE.exists() and why_not_allowed() is None:
        lock = take_lock()
        if lock is not None:
            take_down()
            lock.close()
            break
        if time.monotonic() > deadline:
            raise RuntimeError("the cluster's supervisor did not end within 30 s")
        time.sleep(0.1)
    print("No cluster stands.")


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(command: Annotated[list[str], typer.Argument(help="The command; {master} in it is filled in.")]) -> None:
    """Run a command as the driver, with the master's address in SPARK_MASTER; ends with its exit code."""
    state = current_state()
    if state is None:
        raise UserError("no cluster stands", "one to run a command on", "python -m benchmarks.cluster up --hosts 4")
    cluster = Cluster(state["master"])
    raise typer.Exit(subprocess.run(cluster.driver_command(command), env=cluster.environment()).returncode)


if __name__ == "__main__":
    try:
        app()
    except UserError as error:
        print_error(f"error: {error}")
        sys.exit(2)
