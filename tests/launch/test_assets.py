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


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif("HVDCELLS_NCCL_PYTHON" not in os.environ, reason="builds Horovod for five minutes")
def test_horovod_builds_with_nccl(tmp_path):
    """Run with HVDCELLS_NCCL_PYTHON set to the Python of an environment such as the script describes."""
    subprocess.run([ASSETS / "build_horovod_nccl.sh", os.environ["HVDCELLS_NCCL_PYTHON"], tmp_path], check=True)
    assert list(tmp_path.glob("horovod-0.28.1-*.whl"))
