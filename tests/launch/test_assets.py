"""The shell scripts of launch/assets."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ASSETS = Path(__file__).parent.parent.parent / "launch" / "assets"


def test_shellcheck_passes():
    command = Path(sys.executable).parent / "shellcheck"
    done = subprocess.run([command, *sorted(ASSETS.glob("*.sh"))], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_building_horovod_without_a_compiler_of_cuda_is_refused(tmp_path):
    done = subprocess.run(
        [ASSETS / "build_horovod_nccl.sh", sys.executable, tmp_path],
        env={**os.environ, "HOROVOD_CUDA_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "set HOROVOD_CUDA_HOME" in done.stderr


@pytest.mark.parametrize("release", ["release 13.0, V13.0.88", "release 11.8, V11.8.89", "what is this"])
def test_a_compiler_of_another_cuda_than_tensorflow_s_is_refused(release, tmp_path):
    """Its runtime is linked statically: that of CUDA 13 does not run on drivers before 580."""
    (tmp_path / "bin").mkdir()
    nvcc = tmp_path / "bin" / "nvcc"
    nvcc.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, {release}'\n")
    nvcc.chmod(0o755)
    done = subprocess.run(
        [ASSETS / "build_horovod_nccl.sh", sys.executable, tmp_path / "built"],
        env={**os.environ, "HOROVOD_CUDA_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "CUDA 12 is needed" in done.stderr
    assert not (tmp_path / "built").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif("HVDCELLS_NCCL_PYTHON" not in os.environ, reason="builds Horovod for five minutes")
def test_horovod_builds_with_nccl(tmp_path):
    """Run with HVDCELLS_NCCL_PYTHON set to the Python of an environment such as the script describes."""
    subprocess.run([ASSETS / "build_horovod_nccl.sh", os.environ["HVDCELLS_NCCL_PYTHON"], tmp_path], check=True)
    assert list(tmp_path.glob("horovod-0.28.1-*.whl"))
