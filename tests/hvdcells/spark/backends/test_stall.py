"""When ranks are said to stand still, and which of them are missing; the clock is the test's."""

import os
import platform
import subprocess
import sys

import pytest

from hvdcells.runs.heartbeat import MARK, Beat, Position, take_beats
from hvdcells.spark.backends.stall import (
    PATIENCE_SECONDS,
    StallWatch,
    report,
    spy_on,
    stacks_of,
    stall_environment,
)

AT_WORK = Position("reading a batch", epoch=3, step=7, may_be_long=False)
WAITING = Position("step", epoch=3, step=7, tensor="gradients", may_be_long=False)


class World:
    """Two ranks that beat as told, on a clock that goes as told."""

    def __init__(self, seconds=60.0, num_ranks=2):
        self.now, self.moves = 0.0, {}
        self.watch = StallWatch(num_ranks, seconds, clock=lambda: self.now)

    def beat(self, rank, position=WAITING, moved=True):
        self.moves[rank] = self.moves.get(rank, 0) + moved
        self.watch.hear(Beat(rank, "host", 100 + rank, self.moves[rank], position))

    def pass_seconds(self, seconds, *still_beating, position=WAITING):
        """Let time pass in which some ranks beat and do not move; return the stall found, if one."""
        for _ in range(int(seconds)):
            self.now += 1
            for rank in still_beating:
                self.beat(rank, position, moved=False)
            if stall := self.watch.find():
                return stall
        return None


def test_ranks_that_move_are_left_alone():
    world = World()
    for _ in range(600):
        world.now += 1
        world.beat(0)
        world.beat(1)
        assert world.watch.find() is None


def test_a_rank_that_falls_silent_is_missing_as_soon_as_the_time_is_over():
    world = World()
    world.beat(0)
    world.beat(1, AT_WORK)
    stall = world.pass_seconds(100, 0)
    assert world.now == 60
    assert (stall.silent, stall.missing, stall.tensors) == ((1,), (1,), "gradients (epoch 3, step 7)")


def one_waits_for_one_at_work(world):
    """Let a minute pass in which both ranks answer and neither moves; return the first stall that is found."""
    stall = None
    for _ in range(60):
        world.now += 1
        world.beat(0, WAITING, moved=False)
        world.beat(1, AT_WORK, moved=False)
        stall = stall or world.watch.find()
    return stall


def test_of_ranks_that_all_answer_the_one_that_is_at_work_by_itself_is_missing():
    world = World()
    world.beat(0)
    world.beat(1, AT_WORK)
    stall = one_waits_for_one_at_work(world)
    assert (stall.silent, stall.missing) == ((), (1,))


def test_horovods_inspector_names_the_missing_where_all_wait_at_the_same_place():
    world = World()
    world.beat(0)
    world.beat(1)
    told = "[0]<stderr>:Missing ranks:\n[0]<stderr>:1: [gradients_0, gradients_1]\n"
    world.watch.hear_inspector(told)
    stall = world.pass_seconds(100, 0, 1)
    assert stall.missing == (1,)
    assert "gradients" in stall.tensors


def test_what_the_inspector_said_before_ranks_moved_is_forgotten():
    world = World()
    world.beat(0)
    world.beat(1)
    world.watch.hear_inspector("[0]<stderr>:0: [gradients_0]\n")
    world.beat(0)
    world.beat(1, AT_WORK)
    stall = one_waits_for_one_at_work(world)
    assert stall.missing == (1,)


def test_what_may_be_long_has_patience_but_silence_has_none():
    world, long = World(), Position("saving the model", may_be_long=True)
    world.beat(0, long)
    world.beat(1)
    assert world.pass_seconds(PATIENCE_SECONDS - 1, 0, 1, position=long) is None
    assert world.pass_seconds(2, 0, 1, position=long) is not None

    world = World()
    world.beat(0, long)
    world.beat(1)
    assert world.pass_seconds(100, 1).silent == (0,)


def test_time_in_which_the_driver_itself_was_suspended_does_not_count():
    world = World()
    world.beat(0)
    world.beat(1)
    world.watch.find()
    world.now += 3600
    assert world.watch.find() is None
    assert world.pass_seconds(59, 0) is None
    assert world.pass_seconds(2, 0).silent == (1,)


def test_a_driver_that_wants_none_and_ranks_never_heard_of_are_no_stall():
    world = World(seconds=0)
    world.beat(0)
    assert world.pass_seconds(1000) is None
    assert World().pass_seconds(1000) is None


def test_the_message_stays_short_with_many_ranks():
    world = World(num_ranks=32)
    for rank in range(32):
        world.beat(rank, AT_WORK if rank == 17 else WAITING)
    stall = world.pass_seconds(100, *(rank for rank in range(32) if rank != 17))
    assert len(stall.lines()) <= 9
    assert "missing: rank 17; the others wait at gradients (epoch 3, step 7)" in stall.lines()[0]
    assert stall.lines()[1].startswith("  rank 17 (process 117 on host) silent")


def test_the_report_holds_the_last_stacks_of_each_rank():
    output = (
        "[0]<stderr>:Timeout (0:00:45)!\n[0]<stderr>:old\n[0]<stderr>:Timeout (0:00:45)!\n"
        "[1]<stderr>:something else\n[0]<stderr>:Thread 0x1 (most recent call first):\n"
    )
    assert stacks_of(output) == {0: "Thread 0x1 (most recent call first):"}
    world = World()
    world.beat(0)
    world.beat(1, AT_WORK)
    text = report(world.pass_seconds(100, 0), output)
    assert "--- rank 0, process 100 on host: step, step 7 of epoch 3 (exchanges gradients)\nThread 0x1" in text
    assert "--- rank 1, process 101 on host: reading a batch" in text


@pytest.mark.parametrize("exists", [True, False])
def test_py_spy_is_asked_for_a_silent_rank_of_this_machine(tmp_path, monkeypatch, exists):
    monkeypatch.setenv("PATH", str(tmp_path))
    if exists:
        spy = tmp_path / "py-spy"
        spy.write_text('#!/bin/sh\necho spied on "$@"\n')
        spy.chmod(0o755)
    told = spy_on(Beat(1, platform.node(), 4711, 0, AT_WORK))
    assert told == "spied on dump --nonblocking --pid 4711\n" if exists else "py-spy installed" in told
    assert "another machine" in spy_on(Beat(1, "elsewhere", 4711, 0, AT_WORK))


def test_words_are_found_inside_other_lines_and_torn_ones_are_passed_over():
    word = '{"rank": 1, "host": "h", "pid": 5, "moves": 2, "position": {"doing": "step", "step": 4}}'
    text = f"[1]<stderr>:File {MARK}{word}{MARK}\n[1]<stderr>:x {MARK}{{torn}}{MARK}\n"
    beats, rest = take_beats(text)
    assert beats == [Beat(1, "h", 5, 2, Position("step", step=4))]
    assert rest == "[1]<stderr>:File [1]<stderr>:x "


@pytest.mark.parametrize("seconds", [0, 4])
def test_ranks_beat_and_write_their_stacks_only_where_their_driver_asks(seconds):
    code = "import time; from hvdcells.runs import heartbeat as h; h.begin(); h.at('reading', step=1); time.sleep(60)"
    environment = {**os.environ, **stall_environment(seconds), "HOROVOD_RANK": "1"}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True) as rank:
        if seconds:
            said = ""
            while "in <module>" not in said:
                said += rank.stderr.readline()
            assert take_beats(said)[0][-1] == Beat(
                1, platform.node(), rank.pid, 1, Position("reading", step=1, may_be_long=False)
            )
        rank.kill()
        if not seconds:
            assert rank.stderr.read() == ""


def test_horovods_own_limits_follow():
    assert stall_environment(60)["HOROVOD_STALL_CHECK_TIME_SECONDS"] == "30"
    assert int(stall_environment(60)["HOROVOD_GLOO_TIMEOUT_SECONDS"]) > PATIENCE_SECONDS
    assert int(stall_environment(5000)["HOROVOD_GLOO_TIMEOUT_SECONDS"]) > 5000
    assert "HOROVOD_STALL_CHECK_TIME_SECONDS" not in stall_environment(0)
