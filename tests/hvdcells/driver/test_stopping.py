"""Commands that are stopped, or lose their Java, end soon, say so in a line or two, and leave nothing."""

import signal

import psutil
import pytest

from tests.processes import command
from tests.small_dataset import write_small_dataset

pytestmark = [pytest.mark.spark, pytest.mark.ranks, pytest.mark.slow, pytest.mark.timeout(900)]

OPTIONS = (
    *("--workers", 2, "--epochs", 400, "--set", "data.input_size=48", "--set", "data.batch_size=8"),
    *("--set", "model.width=0.5"),
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    groups = {"train": [[8] * 8, [8] * 7 + [5]], "validation": [[8, 8], [7]], "test": [[4]]}
    return write_small_dataset(tmp_path_factory.mktemp("dataset"), groups).location


@pytest.fixture
def temporary(tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


def all_end(training):
    _, alive = psutil.wait_procs(training.processes(), timeout=60)
    return not alive


def test_a_java_that_is_killed_is_the_cause_that_is_told_and_the_next_start_finds_nothing_in_its_way(
    dataset, tmp_path, temporary
):
    run = tmp_path / "run"
    with command("train", dataset, run, *OPTIONS, TMPDIR=str(temporary)) as training:
        training.read_until(" 3/400")
        (java,) = training.javas()
        java.kill()
        assert training.read_to_the_end() == 1
        assert all_end(training)
    assert f"error: Spark's Java process {java.pid} was killed by SIGKILL (out of memory?)" in training.output
    assert f"To go on: hvdcells train {dataset} {run} --resume" in training.output
    assert "Traceback" not in training.output
    assert list(temporary.iterdir()) == []

    with command("train", dataset, run, "--resume", TMPDIR=str(temporary)) as training:  # the driver, and its terminal
        training.read_until("Found the checkpoint of epoch")
        training.read_until(" images/s")
        training.process.kill()
        assert all_end(training)
    with command("train", dataset, run, "--resume", TMPDIR=str(temporary)) as training:
        training.read_until(" images/s")
        training.process.send_signal(signal.SIGHUP)
        assert training.read_to_the_end() == 128 + signal.SIGHUP
        assert all_end(training)
    assert "Stopped. To go on:" in training.output
    assert "Traceback" not in training.output
    assert list(temporary.iterdir()) == [], "of the driver that was killed before, too"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_java_starts_ends_the_command_and_leaves_nothing(dataset, tmp_path, temporary, number):
    run = tmp_path / "run"
    with command("train", dataset, run, *OPTIONS, TMPDIR=str(temporary)) as training:
        while not training.javas():
            assert training.process.poll() is None, "it ended before Java was there"
        training.process.send_signal(number)
        assert training.read_to_the_end() == 128 + number
        assert all_end(training)
    assert "Stopped before the run began." in training.output
    assert "Traceback" not in training.output
    assert not run.exists()
    assert list(temporary.iterdir()) == []
