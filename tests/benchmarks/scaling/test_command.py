"""The command itself, with real ranks."""

import subprocess
import sys

import pytest

from benchmarks.scaling.point import read_points
from tests.processes import ENVIRONMENT, ROOT
from tests.small_dataset import write_small_dataset


def scaling(*arguments):
    import os

    command = [sys.executable, "-m", "benchmarks.scaling", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True)


@pytest.mark.parametrize("workers", ["none", "0,1", ""])
def test_workers_that_are_none_are_refused(workers, tmp_path):
    done = scaling("--workers", workers, "--out", tmp_path)
    assert done.returncode == 2
    assert f"--workers {workers}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.ranks
@pytest.mark.spark
def test_two_workers_are_measured_with_real_input_and_fitted(tmp_path):
    rows = {"train": [[8, 8], [8, 8], [8, 8]], "validation": [[8, 8]]}
    dataset = write_small_dataset(tmp_path / "dataset", rows)
    points = tmp_path / "points"
    small = ["--rounds", 1, "--steps", 3, "--blocks", 2, "--warmup", 2, "--set", "model.width=0.2"]
    small += ["--set", "data.batch_size=4", "--out", points]
    done = scaling(
        *("--workers", "1,2", "--master", "local[2]", "--mode", "weak", "--input", "dataset"),
        *("--dataset", dataset.location, *small, "--set", "data.input_size=24"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    alone, two = read_points(points)
    assert (alone.world_size, two.world_size) == (1, 2)
    assert two.hosts == ["localhost"] * 2
    assert two.model == "small_cnn_24"
    assert len(two.samples[0].peak_memory_bytes) == len(two.samples[0].input_seconds) == 2
    assert two.communication_efficiency > 0
    assert alone.communication_efficiency is None
    # The parts are those of the step.
    parts = two.input_seconds + two.compute_seconds + two.communication_seconds
    assert 0 < parts <= 1.5 * two.step_seconds
    assert set(two.start_up_seconds) == {"spark", "process", "imports", "horovod", "model", "first_step"}
    assert two.gradient_bytes == alone.gradient_bytes > 0
    assert two.spark_settings["spark.master"] == "local[2]"
