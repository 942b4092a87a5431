"""Benchmarks that measure whole processes, run for some seconds: that they start, and what they write."""

import json
import subprocess
import sys

import pytest

from tests.processes import ROOT

pytestmark = [pytest.mark.spark, pytest.mark.ranks, pytest.mark.slow]


def run(folder, name, *options):
    out = folder / f"{name}.json"
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--out", str(out), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text())


def test_communication(tmp_path):
    result = run(tmp_path, "communication", "--rounds", "1", "--quick")
    (model,) = result["models"].values()
    assert set(model["images_per_second"]) == {"one_worker", "independent", "horovod", "mirrored"}
    assert all(rate["median"] > 0 for rate in model["images_per_second"].values())
    assert len(result["environment"]["commit"]) >= 40


def test_start_up(tmp_path):
    result = run(tmp_path, "start_up", "--rounds", "1", "--warm-up", "0")
    for case in result["cases"].values():
        parts = case["seconds_of_each_part"]
        assert set(parts) == set(result["parts"])
        assert case["first_step_seconds"]["median"] == pytest.approx(sum(parts.values()), abs=0.1)
