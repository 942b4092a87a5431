"""What a training leaves behind: its run directory, and nothing else."""

import os
import subprocess
import sys

import pytest

from tests.processes import ENVIRONMENT, ROOT
from tests.small_dataset import write_small_dataset

TRAIN = """
import sys
import hvdcells
changes = {"data.batch_size": 8, "training.epochs": 1, "model.backbone": sys.argv[3]}
hvdcells.train(sys.argv[1], sys.argv[2], hvdcells.Experiment().override(changes), workers=2)
print("TensorFlow in the driver:", "tensorflow" in sys.modules)
"""


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.ranks
def test_nothing_stays_in_the_temporary_folder_and_the_driver_has_not_imported_tensorflow(tmp_path):
    dataset = write_small_dataset(tmp_path / "dataset", {"train": [[8, 8]], "validation": [[8, 8]], "test": [[8]]})
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    # AutoGraph writes files for a layer of the user that it converts.
    backbone = "tests.hvdcells.rank.models.functions:with_control_flow"
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, dataset.location, str(tmp_path / "run"), backbone],
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENT, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("TensorFlow in the driver: False\n")
    assert list(temporary.iterdir()) == []
