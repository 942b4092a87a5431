"""One function asked of all executors at once, through a barrier stage of Spark."""

import re
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hvdcells.errors import UserError
from hvdcells.spark.spark_internals import clear_job_group

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Answer = dict[str, Any]
Probe = Callable[[Any, Any], Answer]
"""Called with the `BarrierTaskContext` and an argument; in a module that needs nothing but the standard library."""

LIMIT_SECONDS = 120.0
_VERSIONS = re.compile(r"PYTHON_VERSION_MISMATCH\W+(.+)|(Python in worker has different version.+)")
_NO_PROGRAM = re.compile(r"Cannot run program \"([^\"]+)\".*")


def ask_executors(
    spark: "SparkSession",
    num_tasks: int,
    probe: Probe,
    argument: Any,
    limit_seconds: float = LIMIT_SECONDS,
    needs: Sequence[ModuleType] = (),
) -> list[Answer]:
    """Run `probe(context, argument)` in tasks that all run at the same time, and return their answers in order.

    With as many tasks as the executors have slots, each executor is reached. The function travels by value, so that
    it also runs where this package is missing.

    Args:
        spark: a session with at least so many free slots, without dynamic allocation.
        num_tasks: how many tasks are asked.
        probe: the question.
        argument: goes along.
        limit_seconds: after that the question is given up.
        needs: modules whose functions the probe calls, which travel along.

    Raises:
        UserError: executors have another Python, or none, or give no answer in time.
    """

    def task(_: Any) -> Iterator[Answer]:
        from pyspark import BarrierTaskContext

        yield probe(BarrierTaskContext.get(), argument)

    tasks = spark.sparkContext.parallelize(range(num_tasks), num_tasks).barrier()
    with _by_value(sys.modules[probe.__module__], *needs), _cancelled_after(spark, limit_seconds) as is_over:
        try:
            return tasks.mapPartitions(task).collect()
        except Exception as error:
            if is_over.is_set():
                raise UserError(
                    f"the executors gave no answer in {limit_seconds:g} s",
                    "executors that run a Python function",
                    "see the executors' logs (the page of the Spark master, or `yarn logs -applicationId ...`)",
                ) from error
            raise _translated(error) from error


def _translated(error: Exception) -> Exception:
    text = str(error)
    if found := _VERSIONS.search(text):
        return UserError(
            f"executors run another Python than the driver: {(found[1] or found[2]).strip()[:300]}",
            "the same minor version on the driver and on every executor",
            "set PYSPARK_PYTHON, or --conf spark.pyspark.python=PATH, to the Python of this environment on the "
            "executors, or send the environment along: `hvdcells launch environment`",
        )
    if found := _NO_PROGRAM.search(text):
        return UserError(
            f"executors cannot start {found[1]}: {found[0][:300]}",
            "the Python of Spark's workers at that path on every machine",
            "install the environment there, set --conf spark.pyspark.python=PATH, or send the environment along: "
            "`hvdcells launch environment`",
        )
    return error


@contextmanager
def _by_value(*modules: ModuleType) -> Iterator[None]:
    """Send functions of modules as they are, not by their names."""
    from pyspark import cloudpickle

    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


@contextmanager
def _cancelled_after(spark: "SparkSession", seconds: float) -> Iterator[threading.Event]:
    """Cancel the jobs of the block when the time is over; the event says whether it was."""
    context, group, is_over = spark.sparkContext, f"hvdcells-{uuid.uuid4().hex}", threading.Event()

    def end() -> None:
        is_over.set()
        context.cancelJobGroup(group)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    context.setJobGroup(group, "hvdcells asks the executors", interruptOnCancel=True)
    timer.start()
    try:
        yield is_over
    finally:
        timer.cancel()
        clear_job_group(spark)
