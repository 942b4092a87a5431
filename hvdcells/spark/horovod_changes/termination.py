"""How a Horovod job on Spark ends before its time: one rank fails, or the user stops the driver.

Ranks: Horovod waits for the other ranks when one has failed. Most of them fail too, at their next exchange, but one
that waits for a first connection, or whose peers were suspended, may wait for minutes. Upstream,
`horovod.spark.gloo_run` would have to set an event for all when one fails, as `horovod.runner.gloo_run` does.

Signals: it replaces the driver's handlers for good, and only once its ranks are launched. Upstream, `launch_gloo` would
have to put them back, and `run` to set them.

Trace: the thread in which it runs the Spark job dies of its own cancelling of that job, with a trace of Spark's on the
screen; the failure itself comes back as an exception. Upstream, `run_spark` would have to hand its exception to `run`.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from hvdcells.spark.horovod_changes.patching import replaced

GRACE_SECONDS = 3.0
"""Ranks that notice the failure of another at their exchange end by themselves in this time, with their own words."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
JOB_THREAD = "run_spark"
"""In the name of the thread in which Horovod runs the Spark job."""

RunRank = Callable[[str, Any, list[threading.Event]], tuple[int | None, float]]
"""Command, slot and events that abort it, to exit code and `time.time()` of its end; returns when the rank ended."""


@dataclass
class Ending:
    """Why a job ended, if before its time."""

    rank: int | None = None
    """The first rank that ended with a failure."""
    exit_code: int | None = None
    """Its exit code: 128 and more for a signal, None where its task was lost."""
    signal: int | None = None
    """The signal that the driver got."""
    since: float | None = field(default=None, compare=False)
    """`time.monotonic()` at which the end began."""
    is_stopped: bool = False
    """Whether the driver wants the end: a signal, or what watches the ranks."""
    is_launched: bool = field(default=False, compare=False)
    """Whether ranks have been asked for; before, there is only the Spark job that will hold them."""
    group: str | None = field(default=None, compare=False)
    """Of Horovod's Spark job, once it is about to be submitted."""
    driver: Any = field(default=None, compare=False, repr=False)
    """Horovod's driver service."""
    spark_failure: BaseException | None = field(default=None, compare=False, repr=False)
    """With which the Spark job that holds the ranks failed by itself."""
    _shutdown: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    def stop(self) -> None:
        """End all ranks."""
        self.is_stopped = True
        self._begin()
        self._shutdown.set()

    def _begin(self) -> None:
        self.since = self.since or time.monotonic()

    def describe(self) -> str:
        """Say how the first failing process ended."""
        if self.rank is None:
            return "the Spark job failed" + (f": {told_by_spark(self.spark_failure)}" if self.spark_failure else "")
        if self.exit_code is None:
            return f"the task of rank {self.rank} was lost"
        if not _is_signal(self.exit_code):
            return f"the process of rank {self.rank} ended with exit code {self.exit_code}"
        name = signal.Signals(self.exit_code - 128).name
        return f"the process of rank {self.rank} was killed by {name}" + " (out of memory?)" * (name == "SIGKILL")


def told_by_spark(failure: BaseException) -> str:
    """Return the cause in an exception of Spark's, in one line: of hundreds, the first "Caused by"."""
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
    roots = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    aborted = [line for line in lines if "Job aborted" in line or "Exception: " in line]
    return ([*roots[:1], *aborted, *lines, type(failure).__name__])[0]


def _is_signal(exit_code: int | None) -> bool:
    return exit_code is not None and exit_code - 128 in set(signal.Signals)


@contextmanager
def ranks_end_together() -> Iterator[Ending]:
    """Inside the block, `horovod.spark.run` ends all ranks soon after one failed, and when the driver gets a signal.

    Signals are handled as before after the block.
    """
    from horovod.runner import gloo_run as launcher
    from horovod.spark import gloo_run as spark_launcher

    ending = Ending()
    timers: list[threading.Timer] = []
    original = spark_launcher._exec_command_fn
    is_main_thread = threading.current_thread() is threading.main_thread()  # Python handles signals nowhere else
    handlers = {number: signal.getsignal(number) for number in SIGNALS} if is_main_thread else {}
    if handlers.get(signal.SIGHUP) is signal.SIG_IGN:  # `nohup` lets a terminal close
        del handlers[signal.SIGHUP]

    def exec_command_fn(*of_job: Any) -> RunRank:
        execute: RunRank = original(*of_job)

        def execute_rank(command: str, slot: Any, events: list[threading.Event]) -> tuple[int | None, float]:
            exit_code, ending.is_launched = None, True
            try:
                exit_code, when = execute(command, slot, events)
                return exit_code, when
            finally:
                if exit_code != 0:
                    # A rank that was killed is the cause, even where another noticed before Horovod heard of it.
                    is_first_killed = _is_signal(exit_code) and not _is_signal(ending.exit_code)
                    ended_by_itself = not any(event.is_set() for event in events)
                    if ending.rank is None or (is_first_killed and ended_by_itself):
                        ending.rank, ending.exit_code = slot.rank, exit_code
                    ending._begin()
                    timers.extend(threading.Timer(GRACE_SECONDS, event.set) for event in events)
                    for timer in timers[-len(events) :]:
                        timer.start()

        return execute_rank

    def end(number: int, frame: object) -> None:
        ending.signal = number
        ending.stop()

    try:
        with (
            replaced(spark_launcher, "_exec_command_fn", exec_command_fn),
            replaced(launcher, "register_shutdown_event", lambda: ending._shutdown),
        ):
            # From here on, not only once ranks are launched: the start, too, is ended by a signal.
            for number in handlers:
                signal.signal(number, end)
            yield ending
    finally:
        for timer in timers:
            timer.cancel()
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def no_trace_of_cancelled_job() -> AbstractContextManager[None]:
    """Inside the block, an exception that ends Horovod's thread of the Spark job is not printed."""
    original = threading.excepthook

    def excepthook(caught: threading.ExceptHookArgs) -> None:
        if caught.thread is None or JOB_THREAD not in caught.thread.name:
            original(caught)

    return replaced(threading, "excepthook", excepthook)
