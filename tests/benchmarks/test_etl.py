"""The benchmark of the ETL stage on 64 images: that all of it runs, and what it writes."""

import json
import subprocess
import sys

import pytest

from benchmarks.etl import COPIES
from tests.processes import ROOT

pytestmark = [pytest.mark.spark, pytest.mark.slow]


def test_a_run_of_seconds_measures_every_case_and_leaves_only_its_result(tmp_path):
    out, temporary = tmp_path / "result" / "etl.json", tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "benchmarks.etl", "--num-images", "64", "--rounds", "1", "--out", str(out)]
    done = subprocess.run(
        ["env", f"TMPDIR={temporary}", *command], cwd=ROOT, capture_output=True, text=True, timeout=540
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(out.read_text())
    assert result["images"] == 64
    assert len(result["samples"]) == 7
    assert all(len(sample["values"]) == 1 and sample["median"] > 0 for sample in result["samples"].values())
    for block in (result, result["png"]):
        assert block["ratio_to_limit"] > 0
        assert set(block["seconds_of_stages"]) == {"listing", "decoding", "after decoding"}
        assert block["milliseconds_per_image_of_one_core"]["decode"] > 0
    # The copies are found: some files are written twice.
    assert "sorting" in result["with_copies"]["seconds_of_stages"]
    assert COPIES in result["samples"]
    assert result["hvdcells_images_per_second_with_start"] > 0
    assert result["environment"]["commit"]
    assert not list(temporary.glob("etl-benchmark-*"))
