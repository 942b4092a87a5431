"""The commands as a user starts them, in processes of their own."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from etl.options import EtlOptions
from etl.pipeline import run_etl
from etl.shards.findings import SHARDS_FOLDER, num_shards_for, read_findings
from etl.verify import verify
from hvdcells.data.dataset import Dataset
from hvdcells.errors import UserError
from tests.etl.cells import cell, write_cnmc, write_image
from tests.suite.leftovers import variables_of

pytestmark = [pytest.mark.spark, pytest.mark.slow]


def command(*arguments):
    return [sys.executable, "-m", "launch.cli", *map(str, arguments)]


def run(*arguments):
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=300)


def test_etl_show_and_check(tmp_path):
    write_cnmc(tmp_path / "source", images_per_subject=1)
    arguments = ("etl", tmp_path / "source", tmp_path / "dataset", "--image-size", 16, "--crop", 40)
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    for text in ("16 images in", "layout cnmc", "leakage groups", "overview.png", "hvdcells train"):
        assert text in done.stdout
    assert "nothing to do" in run(*arguments).stdout
    shown = run("show", tmp_path / "dataset")
    assert shown.returncode == 0
    assert "leakage groups" in shown.stdout
    next((tmp_path / "dataset" / "images" / "split=test").glob("*.parquet")).unlink()
    checked = run("check", tmp_path / "dataset")
    assert checked.returncode == 2
    assert "fails" in checked.stdout


def test_wrong_input_ends_with_code_2_and_one_message(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("mine")
    write_image(tmp_path / "source" / "all" / "1.png", cell(1))
    for arguments, message in (
        (("etl", tmp_path / "nowhere", tmp_path / "dataset"), "does not exist"),
        (("etl", tmp_path / "source", tmp_path / "full"), "holds precious.txt"),
        (("etl", tmp_path / "source", tmp_path / "dataset"), "1 class: all"),
        (("show", tmp_path / "full"), "no finished dataset"),
    ):
        done = run(*arguments)
        assert done.returncode == 2, done.stderr
        assert message in done.stderr
        assert "what to do" in done.stderr
        assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["precious.txt"]
    assert not (tmp_path / "dataset").exists()


def wait_for(condition, process, what):
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, f"the run ended before {what}"
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.01)


def finished_files(dataset):
    """Findings of finished shards, and the Parquet files written before these."""
    findings = set((dataset / SHARDS_FOLDER).glob("*.findings.parquet"))
    return findings, {dataset / path for file in findings for path in read_findings(str(file)).written}


def all_are_decoded_and_some_written_anew(dataset):
    if len(set((dataset / SHARDS_FOLDER).glob("*.findings.parquet"))) < num_shards_for(NUM_KILLED):
        return False
    there = set(dataset.glob("images/split=*/part-*.parquet"))
    return bool(there - finished_files(dataset)[1])


NUM_KILLED = 16 * 100 + 1


def test_a_run_killed_twice_is_no_dataset_until_it_is_run_to_its_end(spark, tmp_path):
    num_images = write_cnmc(tmp_path / "source", images_per_subject=100)
    # A copy under another subject: after decoding, some files have to be written anew.
    folds = tmp_path / "source" / "training_data"
    shutil.copy(next((folds / "fold_0" / "all").glob("*.bmp")), folds / "fold_2" / "all" / "UID_90_1_1_all.bmp")
    dataset = tmp_path / "dataset"
    arguments = ("etl", tmp_path / "source", dataset, "--image-size", 16, "--crop", 40)
    finished = {}
    for condition in (lambda: finished_files(dataset)[0], lambda: all_are_decoded_and_some_written_anew(dataset)):
        process = subprocess.Popen(
            command(*arguments),
            env={**os.environ, **variables_of(tmp_path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait_for(condition, process, "stage to be killed in")
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        with pytest.raises(UserError, match="no finished dataset"):
            Dataset.open(dataset)
        findings, parquet = finished_files(dataset)
        # What was written anew may have been removed already.
        finished |= {path: path.stat().st_mtime_ns for path in findings | parquet if path.exists()}
    manifest = run_etl(spark, tmp_path / "source", dataset, EtlOptions.of(image_size=16, crop=40))
    assert (manifest.listed, manifest.written, manifest.dropped) == (num_images + 1, num_images, 1)
    # Nothing that was done was done again.
    assert all(path in finished for path in (dataset / SHARDS_FOLDER).iterdir())
    kept = [path for path in finished if path.exists()]
    assert all(path.stat().st_mtime_ns == finished[path] for path in kept)
    assert any(path.is_relative_to(dataset / "images") for path in kept)
    assert [finding for finding in verify(spark, Dataset.open(dataset)) if not finding.holds] == []
