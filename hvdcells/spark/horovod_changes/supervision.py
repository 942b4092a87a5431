"""Horovod runs in a thread of its own, and the driver's main thread sees to it that it ends when it shall.

As it is, Horovod waits without bound for what may never answer: for a task that is stopped or on a host that is cut
off, and, where it is told to end before its Spark job is known to Spark, for the whole time limit of the start: it
cancels a job group that holds no job yet, once, and then joins the thread of the job. Its threads are no daemons, so
the driver's process could not end either. Upstream, `horovod.spark.run` would have to cancel until the job has ended,
and every request of its clients would need a time limit.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, TypeVar

from hvdcells.spark.horovod_changes.patching import replaced
from hvdcells.spark.horovod_changes.termination import JOB_THREAD, Ending

POLL_SECONDS = 0.1
LOOK_SECONDS = 1.0
CANCEL_AFTER_SECONDS = 10.0
"""Ranks that were told to end have done so by then: Horovod itself kills them after five seconds."""
ABANDON_AFTER_SECONDS = 25.0

Result = TypeVar("Result")


class JobAbandonedError(Exception):
    """Horovod did not come back, though its ranks and its Spark job were ended."""


@contextmanager
def job_in_sight(ending: Ending) -> Iterator[None]:
    """Inside the block, Horovod's Spark job and its driver service are known, and none of its threads outlives us."""
    from horovod.runner.util import threads
    from horovod.spark import runner

    original = runner._make_spark_thread

    def make_spark_thread(spark_context: Any, group: str, driver: Any, *of_job: Any, **options: Any) -> Any:
        ending.group, ending.driver = group, driver
        return original(spark_context, group, driver, *of_job, **options)

    def in_thread(target: Any, *of_thread: Any, **options: Any) -> Any:
        return original_in_thread(target, *of_thread, **{**options, "daemon": True})

    def excepthook(caught: threading.ExceptHookArgs) -> None:
        is_spark_job = caught.thread is not None and JOB_THREAD in caught.thread.name
        if is_spark_job and ending.since is None:
            ending.spark_failure = caught.exc_value
        # Requests to a task that has ended with the job: nothing that a reader could want.
        if ending.since is None or not _is_horovods(caught.exc_traceback):
            original_excepthook(caught)

    original_in_thread, original_excepthook = threads.in_thread, threading.excepthook
    with (
        replaced(threading, "excepthook", excepthook),
        replaced(runner, "_make_spark_thread", make_spark_thread),
        replaced(runner, "in_thread", in_thread),
        replaced(threads, "in_thread", in_thread),
    ):
        yield


def _is_horovods(trace: TracebackType | None) -> bool:
    """Whether an exception was raised, at its innermost, by Horovod's code."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("horovod.")


def run_supervised(
    job: Callable[[], Result], ending: Ending, cancel: Callable[[str], None], look: Callable[[], None]
) -> Result:
    """Run a job of Horovod's and return its result; end it when `ending` says so, in bounded time.

    Args:
        job: calls `horovod.spark.run`.
        ending: of this job; a signal, a failed rank or `Ending.stop` ends it.
        cancel: cancels a group of Spark jobs, by its name; called again until the job has ended.
        look: is called every second.

    Raises:
        JobAbandonedError: the job did not come back.
    """
    results: list[Result] = []
    failures: list[BaseException] = []

    def run_job() -> None:
        try:
            results.append(job())
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=run_job, name="horovod", daemon=True)
    thread.start()
    looked = time.monotonic()
    while thread.is_alive():
        thread.join(POLL_SECONDS)
        now = time.monotonic()
        if now - looked >= LOOK_SECONDS:
            looked = now
            look()
        if ending.since is None:
            continue
        waited = now - ending.since
        if ending.is_stopped and not ending.is_launched and ending.driver is not None:
            ending.driver.notify_spark_job_failed()
        if waited >= (CANCEL_AFTER_SECONDS if ending.is_launched else 0) and ending.group is not None:
            with suppress(Exception):  # the JVM may be gone
                cancel(ending.group)
        if waited >= ABANDON_AFTER_SECONDS and thread.is_alive():
            raise JobAbandonedError(f"Horovod did not end in {waited:.0f} s")
    if failures:
        raise failures[0]
    return results[0]
