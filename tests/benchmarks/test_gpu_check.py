"""The check of a machine's GPUs, here without one and with a stand-in for nvidia-smi."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks.cluster_model.gpu_rates import rates_for
from benchmarks.gpu_check import list_gpus, powers_up_to, watched
from hvdcells.errors import UserError
from tests.processes import ENVIRONMENT, ROOT

CASE = {"model": "mobilenet_v2", "device": "gpu", "batch_size": 128}


def test_numbers_of_workers_double_up_to_all():
    assert [powers_up_to(most) for most in (1, 2, 6, 8)] == [(1,), (1, 2), (1, 2, 4, 6), (1, 2, 4, 8)]


def test_gpus_are_those_of_nvidia_smi(tmp_path, monkeypatch):
    smi = tmp_path / "nvidia-smi"
    smi.write_text(
        """#!/bin/sh
case "$1" in
*utilization*) echo 97; echo 0;;
*) echo "0, NVIDIA L4, GPU-1, 570.1, 23034"; echo "1, NVIDIA L4, GPU-2, 570.1, 23034";;
esac
"""
    )
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    gpus = list_gpus()
    assert [(gpu["index"], gpu["name"], gpu["uuid"]) for gpu in gpus] == [
        ("0", "NVIDIA L4", "GPU-1"),
        ("1", "NVIDIA L4", "GPU-2"),
    ]
    monkeypatch.setattr("benchmarks.gpu_check.BUSY_EVERY_SECONDS", 0.001)
    with watched(gpus) as shares:
        while not shares:
            pass
    assert set(shares) == {0.97}, "of the GPUs that are used"
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert list_gpus() == []


def write(path, *cases):
    path.write_text(json.dumps({"gpus": [{"name": "NVIDIA L4"}], "cases": cases}))
    return str(path)


def by_workers(rate):
    return {"by_workers": {"1": {"images_per_second": rate}, "2": {"images_per_second": 1.9 * rate}}}


def test_predictions_take_the_rate_that_was_measured_in_that_precision(tmp_path):
    path = write(
        tmp_path / "gpu.json",
        {**CASE, "variant": "float32", **by_workers(300)},
        {**CASE, "variant": "TF32", **by_workers(500)},
        {**CASE, "variant": "float16, XLA", **by_workers(900)},
    )
    plain, mixed = (rates_for("mobilenet_v2", 64, [path], mixed)["NVIDIA L4"] for mixed in (False, True))
    assert (plain.images_per_second, plain.batch_size, plain.source) == (500, 128, "measured, TF32")
    assert mixed.images_per_second == 900


@pytest.mark.parametrize("spoilt", [{"device": "cpu"}, {"model": "small_cnn"}, {"by_workers": {}}])
def test_a_check_without_such_a_rate_is_refused(spoilt, tmp_path):
    path = write(tmp_path / "gpu.json", {**CASE, "variant": "float32", **by_workers(300), **spoilt})
    with pytest.raises(UserError, match="no rate of mobilenet_v2 on one GPU"):
        rates_for("mobilenet_v2", 64, [path])


@pytest.mark.parametrize("text", ["", "[]", '{"cases": 1}', '{"cases": [{}]}'])
def test_a_file_that_is_none_is_refused(text, tmp_path):
    path = tmp_path / "gpu.json"
    path.write_text(text)
    with pytest.raises(UserError, match="gpu_check --out FILE"):
        rates_for("mobilenet_v2", 64, [str(path)])


@pytest.mark.slow
@pytest.mark.ranks
@pytest.mark.spark
def test_a_machine_without_gpus_is_measured_all_the_same(tmp_path):
    short = "--recipe small_cnn --variant float32 --workers 1 --batch-size 4 --image-size 24 --rounds 1 --steps 2"
    command = [sys.executable, "-m", "benchmarks.gpu_check", *short.split(), "--blocks", "1", "--warmup", "2"]
    command += ["--out", str(tmp_path / "gpu.json"), "--folder", str(tmp_path / "points")]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "No GPU." in done.stdout
    result = json.loads((tmp_path / "gpu.json").read_text())
    (case,) = result["cases"]
    assert (case["device"], case["model"], case["busy"]) == ("cpu", "small_cnn", None)
    assert case["by_workers"]["1"]["images_per_second"] > 0
    assert result["gpus"] == []
    assert result["libraries"]["nccl"] is False
    assert result["libraries"]["gpus_seen"] == 0
