"""A Spark standalone cluster over the hosts of a job: the master on the first host, a worker on each.

Horovod's ranks start in Spark's executors, as on any other cluster: no MPI and no logins between the containers.
"""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from hvdcells.spark.session import LOG_OPTION, use_bundled_java
from launch.clusters.spark_settings import DISCOVERY_SCRIPT, Stage, spark_settings
from launch.clusters.spec import ClusterSpec
from launch.sagemaker.container.contract import Container

PORT_VARIABLE = "HVDCELLS_SPARK_PORT"
"""Another port of the master than 7077."""
FIRST_HOST_SECONDS = 900.0
"""How long the others wait for the first host's master."""
GONE_SECONDS = {"silent": 30.0, "refuses": 6.0}
"""The master has ended, and the job with it, when its host is silent for so long, or has no master for so long."""
POLL_SECONDS = 2.0


class NoMasterError(Exception):
    """The first host's Spark master never came up."""


def port() -> int:
    """Return the master's port."""
    return int(os.environ.get(PORT_VARIABLE, "7077"))


@contextmanager
def master_and_worker(container: Container, spec: ClusterSpec, stage: Stage) -> Iterator[str]:
    """Run the master and this host's worker in the block; yield the master's address."""
    with ExitStack() as stack:
        _start(stack, container, ["master.Master", "--host", container.current_host, "--port", str(port())])
        _start_worker(stack, container, spec, stage)
        yield master_address(container)


def lend(container: Container, spec: ClusterSpec, stage: Stage, check: Callable[[], None]) -> None:
    """Run this host's worker until the first host's master has come and gone.

    Args:
        container: this one.
        spec: the cluster.
        stage: of the work.
        check: called while waiting; ends it by raising.

    Raises:
        NoMasterError: the master did not come.
    """
    deadline = time.monotonic() + FIRST_HOST_SECONDS
    while _master_of(container.hosts[0]) != "there":
        check()
        if time.monotonic() > deadline:
            raise NoMasterError(f"no Spark master on {container.hosts[0]}:{port()} in {FIRST_HOST_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)
    with ExitStack() as stack:
        _start_worker(stack, container, spec, stage)
        seen, master = time.monotonic(), "there"
        while master == "there" or time.monotonic() - seen < GONE_SECONDS[master]:
            check()
            time.sleep(POLL_SECONDS)
            master = _master_of(container.hosts[0])
            if master == "there":
                seen = time.monotonic()


def master_address(container: Container) -> str:
    """Return what `--master` takes."""
    return f"spark://{container.hosts[0]}:{port()}"


def session_words(container: Container, spec: ClusterSpec, stage: Stage) -> list[str]:
    """Return the options of an `hvdcells` command that runs on the cluster."""
    settings = {
        **spark_settings(spec, stage),
        "spark.driver.host": container.current_host,
        "spark.driver.bindAddress": container.current_host,
        "spark.ui.enabled": "false",
    }
    words = [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]
    return ["--master", master_address(container), *words]


def _master_of(host: str) -> Literal["there", "refuses", "silent"]:
    try:
        with socket.create_connection((host, port()), timeout=5):
            return "there"
    except ConnectionRefusedError:
        return "refuses"
    except OSError:
        return "silent"


def _start_worker(stack: ExitStack, container: Container, spec: ClusterSpec, stage: Stage) -> None:
    gpus = {
        "spark.worker.resource.gpu.amount": str(spec.num_gpus),
        "spark.worker.resource.gpu.discoveryScript": str(DISCOVERY_SCRIPT),
    }
    options = " ".join(f"-D{key}={value}" for key, value in gpus.items()) if spec.num_gpus else ""
    # As many cores as this host's executors take: Spark would put more of them on the host that comes first.
    each = 1 if stage == "etl" else spec.executors_per_machine
    cores = each * int(spark_settings(spec, stage)["spark.executor.cores"])
    # Spark counts the executors' heaps alone against this memory.
    words = ["worker.Worker", "--host", container.current_host, "--cores", str(cores)]
    words += ["--memory", f"{int(spec.memory_gib * 1024)}m", master_address(container)]
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hvdcells-spark-", ignore_cleanup_errors=True))
    # Ranks that are killed leave temporary files: they go with the folder.
    _start(stack, container, words, {"SPARK_WORKER_OPTS": options, "SPARK_WORKER_DIR": folder, "TMPDIR": folder})


def _start(stack: ExitStack, container: Container, words: list[str], environment: dict[str, str] | None = None) -> None:
    import pyspark

    use_bundled_java()
    home = Path(pyspark.__file__).parent
    name, *rest = words
    command = [str(home / "bin/spark-class"), f"org.apache.spark.deploy.{name}", "--webui-port", "0", *rest]
    more = {
        "SPARK_HOME": str(home),
        "SPARK_NO_DAEMONIZE": "1",
        "SPARK_DAEMON_MEMORY": "512m",
        "SPARK_DAEMON_JAVA_OPTS": LOG_OPTION,
        # Pages and ports on the hosts' own network alone.
        "SPARK_LOCAL_IP": socket.gethostbyname(container.current_host),
        **(environment or {}),
    }
    process = subprocess.Popen(command, env={**os.environ, **more}, stdout=subprocess.DEVNULL)
    stack.callback(_end, process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
