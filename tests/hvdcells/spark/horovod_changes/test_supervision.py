"""A job that is to end does so in bounded time. Where a test says "as it is", Horovod still needs the change."""

import os
import signal
import threading
import time

import pytest
from horovod.runner.util import threads
from horovod.spark import runner

from hvdcells.spark.backends import HorovodOnSpark
from hvdcells.spark.horovod_changes import supervision
from hvdcells.spark.horovod_changes.supervision import JobAbandonedError, job_in_sight, run_supervised
from hvdcells.spark.horovod_changes.termination import Ending, ranks_end_together

pytestmark = pytest.mark.tensorflow


def nothing(*_):
    pass


def test_what_a_job_returns_or_raises_comes_back():
    assert run_supervised(lambda: [1, 2], Ending(), nothing, nothing) == [1, 2]
    with pytest.raises(ZeroDivisionError):
        run_supervised(lambda: 1 / 0, Ending(), nothing, nothing)


def test_a_job_is_cancelled_again_until_it_ends(monkeypatch):
    """Once is not enough: Spark may not know the job yet."""
    ended, cancelled, ending = threading.Event(), [], Ending(group="group")

    def cancel(group):
        cancelled.append(group)
        if len(cancelled) == 3:
            ended.set()

    ending.stop()
    run_supervised(ended.wait, ending, cancel, nothing)
    assert cancelled[:3] == ["group"] * 3


def test_a_job_that_never_ends_is_abandoned_and_its_threads_let_the_process_end(monkeypatch):
    monkeypatch.setattr(supervision, "ABANDON_AFTER_SECONDS", 0.3)
    never, ending = threading.Event(), Ending()
    ending.stop()
    with pytest.raises(JobAbandonedError):
        run_supervised(never.wait, ending, nothing, nothing)
    never.set()


def test_horovod_as_it_is_holds_the_process_by_its_threads_and_changed_it_does_not():
    ended = threading.Event()
    with job_in_sight(Ending()):
        thread = runner.in_thread(ended.wait, daemon=False)
    assert thread.daemon
    as_it_is = threads.in_thread(ended.wait, daemon=False)
    assert not as_it_is.daemon
    ended.set()


def test_those_who_look_are_asked_while_a_job_runs(monkeypatch):
    monkeypatch.setattr(supervision, "LOOK_SECONDS", 0)
    looked = threading.Event()
    assert run_supervised(lambda: looked.wait(60), Ending(), nothing, looked.set)


@pytest.mark.parametrize("is_ending", [False, True])
def test_threads_of_horovod_leave_no_trace_once_a_job_is_to_end(monkeypatch, is_ending):
    traces, ending = [], Ending()
    monkeypatch.setattr(threading, "excepthook", traces.append)
    if is_ending:
        ending.stop()
    with job_in_sight(ending):
        threading.Thread(target=lambda: threads.execute_function_multithreaded(None, 1)).start()
        threading.Thread(target=lambda: 1 / 0).start()
        deadline = time.monotonic() + 60
        while len(traces) < (1 if is_ending else 2) and time.monotonic() < deadline:
            time.sleep(0.01)
    assert sorted(trace.exc_type.__name__ for trace in traces) == ["TypeError", "ZeroDivisionError"][is_ending:]


@pytest.mark.spark
@pytest.mark.ranks
@pytest.mark.timeout(180)
def test_ctrl_c_before_spark_knows_the_job_ends_it_at_once(spark, monkeypatch, tmp_path):
    """As it is, Horovod then waits for the time limit of its start: 597 s of 600."""
    original = runner._make_spark_thread

    def stopped_first(*arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments, **options)

    monkeypatch.setattr(runner, "_make_spark_thread", stopped_first)
    with pytest.raises(KeyboardInterrupt) as caught:
        HorovodOnSpark(2).run("tests.hvdcells.spark.backends.entries:no_such", None, str(tmp_path))
    assert caught.value.args == (signal.SIGINT,)


def test_a_closed_terminal_ends_a_job_but_not_one_that_was_told_to_ignore_it():
    kept = signal.getsignal(signal.SIGHUP)
    try:
        with ranks_end_together() as ending:
            os.kill(os.getpid(), signal.SIGHUP)
        assert ending.signal == signal.SIGHUP
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with ranks_end_together() as ending:
            os.kill(os.getpid(), signal.SIGHUP)
        assert ending == Ending()
    finally:
        signal.signal(signal.SIGHUP, kept)
