"""The benchmark of the input pipeline, run for some seconds: every way of reading reads all images, none is lost."""

import json
import subprocess
import sys

import pytest

from tests.processes import ROOT

CASES = {"hvdcells", "hvdcells_png", "tfrecord", "make_reader", "limit", "raw_limit"}


@pytest.mark.spark
@pytest.mark.slow
def test_every_case_is_measured(tmp_path):
    out = tmp_path / "input_pipeline.json"
    options = ["--num-images", "64", "--rounds", "1", "--passes", "1", "--data", str(tmp_path / "data")]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.input_pipeline", "--out", str(out), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(out.read_text())
    assert set(result["rounds"]) == CASES
    assert all(rate["median"] > 0 for rate in result["rounds"].values())
    (manifest,) = (tmp_path / "data").glob("*/raw/manifest.json")
    assert result["images"] == json.loads(manifest.read_text())["splits"]["train"]["images"] >= 64
    assert result["environment"]["commit"]
