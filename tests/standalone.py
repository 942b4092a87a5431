"""A Spark standalone cluster of real processes on this machine, for tests."""

import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hvdcells.spark.session import use_bundled_java
from tests.suite.spark_classes import java_options

START_SECONDS = 120


@dataclass(frozen=True)
class WorkerHost:
    """One Spark worker: what it has, and what is put before its command."""

    cores: int = 1
    memory: str = "1g"
    options: str = ""
    """Java options, such as `-Dspark.worker.resource.gpu.amount=1`."""
    prefix: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)


def own_host() -> list[str]:
    """Return what makes a command a host of its own to Horovod, which tells hosts by their kernel namespaces."""
    return ["unshare", "--uts"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--uts"]


def named_host(folder: Path, name: str, known: Sequence[str]) -> list[str]:
    """Return what makes a command a host of its own with that name, which resolves the known names to loopback."""
    hosts = folder / f"hosts-of-{name}"
    hosts.write_text(f"127.0.0.1 localhost {' '.join(known)}\n")
    script = f'hostname {name}; mount --bind {hosts} /etc/hosts; exec "$@"'
    return [*own_host(), "--mount", "sh", "-c", script, "sh"]


@contextmanager
def standalone_cluster(folder: Path, workers: Sequence[WorkerHost]) -> Iterator[str]:
    """Start a master and workers on loopback; yield the master's address; end them all.

    Args:
        folder: for logs and the workers' folders, which hold those of the executors (`worker-N/app-…/M`).
        workers: the workers to start.
    """
    with ExitStack() as stack:
        started = _start(stack, folder / "master", ["Master", "--host", "127.0.0.1", "--port", "0"], WorkerHost())
        address = _wait_for(*started, r"Starting Spark master at (spark://\S+)")
        for number, worker in enumerate(workers):
            work = folder / f"worker-{number}"
            arguments = ["Worker", "--host", "127.0.0.1", "--port", "0", "--cores", str(worker.cores)]
            arguments += ["--memory", worker.memory, "--work-dir", str(work), address]
            _wait_for(*_start(stack, work, arguments, worker), "Successfully registered with (master)")
        yield address


def _start(stack: ExitStack, folder: Path, arguments: list[str], host: WorkerHost) -> tuple[Path, subprocess.Popen]:
    import pyspark

    use_bundled_java()
    home = Path(pyspark.__file__).parent
    folder.mkdir(parents=True)
    log = folder / "log"
    name, *rest = arguments
    java_class = f"org.apache.spark.deploy.{name.lower()}.{name}"
    environment = {**os.environ, **host.environment, "SPARK_HOME": str(home), "SPARK_NO_DAEMONIZE": "1"}
    environment |= {
        "SPARK_DAEMON_MEMORY": "256m",
        "JAVA_TOOL_OPTIONS": java_options(),  # executors have what their worker has
        f"SPARK_{name.upper()}_OPTS": host.options,
        "SPARK_NO_DAEMONIZE": "1",
    }
    with log.open("wb") as output:
        process = stack.enter_context(
            subprocess.Popen(
                [*host.prefix, str(home / "bin/spark-class"), java_class, "--webui-port", "0", *rest],
                cwd=folder,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        )
    stack.callback(process.terminate)
    return log, process


def _wait_for(log: Path, process: subprocess.Popen, words: str) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if found := re.search(words, log.read_text()):
            return found[1]
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise AssertionError(f"no {words!r}, exit status {process.poll()}:\n{log.read_text()}")
