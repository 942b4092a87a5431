"""All that reaches into Spark: what its SparkContext in the JVM knows and PySpark does not hand on.

Upstream, PySpark would have to have these on `SparkContext` and `StatusTracker`, as Scala and Java have.
"""

import signal
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

KILLED_SECONDS = 10
"""The longest that a killed process takes to be gone."""


def num_slots(spark: "SparkSession") -> tuple[int, int]:
    """Return how many tasks the session's executors run at once, and how many tasks of other jobs run there now.

    GPUs and cores per task are taken into account. Executors that have not come up yet do not count.
    """
    context = _jvm_context(spark)
    slots = context.maxNumConcurrentTasks(context.resourceProfileManager().defaultResourceProfile())
    return slots, sum(executor.numRunningTasks() for executor in context.statusTracker().getExecutorInfos())


def num_executors(spark: "SparkSession") -> int:
    """Return how many executors Spark has; on one machine's local mode, the driver is the one."""
    return max(1, len(_jvm_context(spark).statusTracker().getExecutorInfos()) - 1)


def clear_job_group(spark: "SparkSession") -> None:
    """Let the jobs that follow in this thread belong to no group."""
    _jvm_context(spark).clearJobGroup()


@contextmanager
def java_ends_with_its_start() -> Iterator[None]:
    """Inside the block, in which a session is made, an interrupt or a failure also ends the Java that was starting.

    PySpark forgets its process then, and removes the folder to which it was to write: that Java would live for good.
    """
    from pyspark import SparkContext

    this = psutil.Process()
    before = set(this.children())
    try:
        yield
    except BaseException:
        if SparkContext._gateway is None:
            started = [child for child in this.children() if child not in before]
            for process in [*started, *(each for child in started for each in child.children(recursive=True))]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(started, timeout=KILLED_SECONDS)
        raise


def java_process() -> "subprocess.Popen[bytes] | None":
    """Return the process of this driver's Java; None where there is none of its own."""
    from pyspark import SparkContext

    return getattr(SparkContext._gateway, "proc", None)


def java_ending(wait_seconds: float = 1.0) -> str | None:
    """Say how this driver's Java has ended; None if it lives, or is not this driver's own.

    Args:
        wait_seconds: for a process whose connections are closed to be gone.
    """
    java = java_process()
    if java is None:
        return None
    try:
        code = java.wait(wait_seconds)
    except subprocess.TimeoutExpired:
        return None
    if code >= 0:
        return f"Spark's Java process {java.pid} ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"Spark's Java process {java.pid} was killed by {name}" + " (out of memory?)" * (name == "SIGKILL")


def stop_session(spark: "SparkSession") -> None:
    """Stop a session; one whose Java is gone is forgotten, so that another can be made in this process."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # "Unable to cleanly shutdown Spark JVM process"
            spark.stop()
    except Exception:
        if java_ending() is None:
            raise
    finally:
        if java_ending(0) is not None:
            SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None
            SparkSession._instantiatedSession = None


def _jvm_context(spark: "SparkSession") -> Any:
    return spark.sparkContext._jsc.sc()
