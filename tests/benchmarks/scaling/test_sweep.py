"""Rounds in turn, files of points, and going on after an interruption; a made-up back end."""

import json
import os
import signal
import subprocess
import sys

import pytest

from benchmarks.predict import _fit
from benchmarks.scaling.plan import plan
from benchmarks.scaling.point import read_point, read_points
from benchmarks.scaling.start import StartFailedError
from benchmarks.scaling.sweep import run_sweep
from hvdcells.errors import UserError
from tests.benchmarks.scaling.made import outcome, request
from tests.processes import ROOT

INTERRUPTED = """
import sys, time
from pathlib import Path
from benchmarks.scaling.plan import plan
from benchmarks.scaling.sweep import run_sweep
from tests.benchmarks.scaling.made import outcome, request

started = 0

def starting(point):
    global started
    started += 1
    if started == 4:
        print("fourth", flush=True)
        time.sleep(600)
    return outcome(point)

run_sweep(plan(request(), None), Path(sys.argv[1]), 3, starting=starting)
"""


class Starts:
    """Starts that note what was started, in order."""

    def __init__(self, failing=()):
        self.made, self.failing = [], failing

    def __call__(self, point):
        self.made.append((point.mode, point.world_size))
        if point.world_size in self.failing:
            raise StartFailedError("the rank said no")
        return outcome(point)


def test_points_take_turns_over_the_rounds_and_the_largest_comes_first(tmp_path):
    starts = Starts()
    assert run_sweep(plan(request(workers=(1, 2, 4)), None), tmp_path, 3, starting=starts) == []
    order = [size for _, size in starts.made]
    assert order[:3] == [4, 2, 1]
    assert [sorted(order[n : n + 3]) for n in (0, 3, 6)] == [[1, 2, 4]] * 3
    assert len({order[n] for n in (0, 3, 6)}) == 3, "each round begins with another point"
    assert {len(point.samples) for point in read_points(tmp_path)} == {3}


def test_a_killed_sweep_goes_on_where_it_stopped(tmp_path):
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    sweep = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert sweep.stdout.readline() == "fourth\n"
    os.kill(sweep.pid, signal.SIGKILL)
    sweep.stdout.close()
    sweep.wait()
    kept = {point.world_size: point.samples for point in read_points(tmp_path)}
    assert sum(map(len, kept.values())) == 3
    starts = Starts()
    run_sweep(plan(request(), None), tmp_path, 3, starting=starts)
    assert len(starts.made) == 3
    for point in read_points(tmp_path):
        assert len(point.samples) == 3
        assert point.samples[: len(kept[point.world_size])] == kept[point.world_size]


def test_equal_settings_are_not_measured_again_and_others_are(tmp_path):
    run_sweep(plan(request(), None), tmp_path, 1, starting=Starts())
    again, other, forced = Starts(), Starts(), Starts()
    run_sweep(plan(request(), None), tmp_path, 1, starting=again)
    assert again.made == []
    run_sweep(plan(request(warmup_steps=7), None), tmp_path, 1, starting=other)
    assert len(other.made) == 2
    run_sweep(plan(request(warmup_steps=7), None), tmp_path, 1, again=True, starting=forced)
    assert len(forced.made) == 2


def test_more_workers_are_added_to_what_is_there(tmp_path):
    first, more = Starts(), Starts()
    run_sweep(plan(request(workers=(1, 2), threads=1), None), tmp_path, 1, starting=first)
    run_sweep(plan(request(workers=(1, 2, 4), threads=1), None), tmp_path, 1, starting=more)
    assert more.made == [("weak", 4)]


def test_a_point_that_fails_is_named_and_the_others_are_measured(tmp_path):
    starts = Starts(failing=(2,))
    failures = run_sweep(plan(request(workers=(1, 2, 4)), None), tmp_path, 2, starting=starts)
    assert failures == ["weak memory 2 workers: the rank said no"]
    assert [point.world_size for point in read_points(tmp_path)] == [1, 4]
    assert starts.made.count(("weak", 2)) == 1


def test_a_file_that_is_no_point_is_not_written_over(tmp_path):
    planned = plan(request(), None)
    (tmp_path / planned[0].file_name).write_text("{}")
    with pytest.raises(UserError, match="is no point of the scaling benchmark"):
        run_sweep(planned, tmp_path, 1, starting=Starts())


def test_the_fit_predicts_points_of_a_sweep_that_it_was_not_fitted_to(tmp_path):
    """What `predict --fit` makes of the files themselves; points with 4 workers were not part of the fit."""
    run_sweep(plan(request(workers=(1, 2, 4), modes=("weak", "strong")), None), tmp_path, 2, starting=Starts())
    found = json.loads(json.dumps(_fit(tmp_path, 2, [8])))["clusters"]["local"]
    unseen = [point for point in found["points"] if point["world_size"] == 4]
    assert len(unseen) == 2
    for point in unseen:
        # Made with 1 thread each on 2 cores without a loss for sharing them, which the fit cannot know.
        assert point["predicted_step_seconds"] == pytest.approx(2 * point["step_seconds"], rel=0.15)
        assert point["core_demand"] == 2


def test_clusters_are_fitted_apart(tmp_path):
    for cluster in ("here", "there"):
        run_sweep(plan(request(cluster=cluster), None), tmp_path, 1, starting=Starts())
    assert set(_fit(tmp_path, 2, [8])["clusters"]) == {"here", "there"}
    assert read_point(next(tmp_path.glob("there-*"))).cluster == "there"
