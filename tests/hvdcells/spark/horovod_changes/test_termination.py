"""How jobs end before their time. Where a test says "as it is", Horovod unchanged still needs the change."""

import contextlib
import os
import signal
import threading
from types import SimpleNamespace

import pytest
from horovod.runner import gloo_run as launcher
from horovod.spark import gloo_run as spark_launcher
from horovod.spark import runner

from hvdcells.spark.horovod_changes import termination
from hvdcells.spark.horovod_changes.termination import (
    Ending,
    no_trace_of_cancelled_job,
    ranks_end_together,
    told_by_spark,
)

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (Ending(), "the Spark job failed"),
        (Ending(rank=1), "the task of rank 1 was lost"),
        (Ending(rank=1, exit_code=1), "the process of rank 1 ended with exit code 1"),
        (Ending(rank=0, exit_code=255), "the process of rank 0 ended with exit code 255"),
        (Ending(rank=2, exit_code=134), "the process of rank 2 was killed by SIGABRT"),
        (Ending(rank=2, exit_code=137), "the process of rank 2 was killed by SIGKILL (out of memory?)"),
    ],
)
def test_how_a_process_ended_is_told(ending, words):
    assert ending.describe() == words


def run_ranks(monkeypatch, *exit_codes):
    """Let ranks end one after the other as Horovod would see them end; return the event that aborts the others."""
    codes = iter(exit_codes)
    monkeypatch.setattr(spark_launcher, "rsh", lambda *_: next(codes))
    driver, settings, abort = SimpleNamespace(addresses=dict), SimpleNamespace(verbose=0), threading.Event()
    execute = spark_launcher._exec_command_fn(driver, b"key", settings, {}, None, None, False)
    for rank, exit_code in enumerate(exit_codes):
        slot = SimpleNamespace(hostname="host", local_rank=rank, rank=rank)
        assert execute("command", slot, [abort])[0] == exit_code
    return abort


def test_horovod_as_it_is_lets_the_other_ranks_wait_when_one_has_failed(monkeypatch):
    monkeypatch.setattr(threading, "Timer", None)
    assert not run_ranks(monkeypatch, 1).is_set()


def test_when_a_rank_failed_the_others_are_ended(monkeypatch):
    monkeypatch.setattr(termination, "GRACE_SECONDS", 0)
    with ranks_end_together() as ending:
        assert run_ranks(monkeypatch, 0, 1).wait(timeout=60)
    assert (ending.rank, ending.exit_code, ending.signal) == (1, 1, None)


def test_a_rank_that_was_killed_is_the_cause_even_when_another_was_seen_to_fail_first(monkeypatch):
    with ranks_end_together() as ending:
        abort = run_ranks(monkeypatch, 1, 137, 143)
    assert (ending.rank, ending.exit_code) == (1, 137)
    assert not abort.is_set(), "nothing is left to be ended after the block"


def test_ranks_that_end_well_are_no_ending(monkeypatch):
    with ranks_end_together() as ending:
        assert not run_ranks(monkeypatch, 0, 0).is_set()
    assert ending == Ending()


@pytest.fixture
def own_handler():
    """A handler of SIGINT that is not Python's own; signals of this process are handled as before after the test."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handler(number, frame):
        raise AssertionError("of the test")

    signal.signal(signal.SIGINT, handler)
    yield handler
    for number, each in kept.items():
        signal.signal(number, each)


def test_horovod_as_it_is_keeps_the_drivers_signals(own_handler):
    launcher.register_shutdown_event()
    assert signal.getsignal(signal.SIGINT) is not own_handler


def test_a_signal_ends_the_job_and_is_told_and_then_the_drivers_own_again(own_handler):
    with ranks_end_together() as ending:
        event = launcher.register_shutdown_event()
        os.kill(os.getpid(), signal.SIGINT)
        assert event.wait(timeout=60)
    assert ending.signal == signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is own_handler


@pytest.mark.parametrize(("change", "num_traces"), [(contextlib.nullcontext, 1), (no_trace_of_cancelled_job, 0)])
def test_horovod_as_it_is_lets_its_cancelled_job_leave_a_trace_and_changed_it_does_not(change, num_traces, monkeypatch):
    traces, told = [], []
    monkeypatch.setattr(threading, "excepthook", traces.append)

    def cancelled(*_, **__):
        raise RuntimeError("cancelled")

    driver = SimpleNamespace(notify_spark_job_failed=lambda: told.append("failed"))
    with change():
        runner._make_spark_thread(
            SimpleNamespace(setJobGroup=cancelled), "group", driver, None, None, True, False
        ).join()
    assert [str(trace.exc_value) for trace in traces] == ["cancelled"] * num_traces
    assert told == ["failed"]


def test_other_threads_leave_their_traces(monkeypatch):
    traces = []
    monkeypatch.setattr(threading, "excepthook", traces.append)
    with no_trace_of_cancelled_job():
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    assert len(traces) == 1


def test_of_what_spark_tells_the_cause_is_told():
    told = (
        "An error occurred while calling o1.collect.\n: org.apache.spark.SparkException: Job aborted\n"
        '\tat x\nCaused by: java.io.IOException: Cannot run program "/no/python": error=2, No such file or directory\n'
        "\tat y\nCaused by: java.io.IOException: error=2, No such file or directory\n"
    )
    failure = RuntimeError(told)
    cause = 'java.io.IOException: Cannot run program "/no/python": error=2, No such file or directory'
    assert told_by_spark(failure) == cause
    assert told_by_spark(RuntimeError()) == "RuntimeError"
    assert Ending(spark_failure=failure).describe() == f"the Spark job failed: {cause}"
