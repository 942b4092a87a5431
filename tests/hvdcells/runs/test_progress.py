import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdcells import storage
from hvdcells.experiment import Experiment, Model, Training, Transfer
from hvdcells.runs.directory import RunDirectory
from hvdcells.runs.progress import Progress, last_progress, remove_checkpoints, write_progress

scores = st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False))


@pytest.fixture
def run(tmp_path):
    return RunDirectory.at(tmp_path / "run")


def checkpoint(run, progress, content=b"variables"):
    storage.write_bytes(run.checkpoint_variables(progress.epochs_done), content)
    write_progress(run, progress)


@given(st.lists(scores, min_size=1))
def test_the_best_epoch_is_the_first_of_the_highest_score(history):
    progress = Progress()
    told = [progress.note(score) for score in history]
    assert progress.epochs_done == len(history)
    assert progress.best_epoch == history.index(max(history)) + 1
    assert progress.best_score == max(history)
    assert progress.best_epoch == max(number for number, is_best in enumerate(told, 1) if is_best)


@given(st.lists(scores, min_size=1), st.integers(0, 30))
def test_going_on_from_any_epoch_comes_to_the_same_best_and_end(tmp_path_factory, history, stop):
    """What decides about the rest of a run survives being written and read, to the last bit."""
    options = Experiment(training=Training(epochs=30, early_stopping_patience=3))
    run = RunDirectory.at(tmp_path_factory.mktemp("run"))
    whole, stopped = Progress(), Progress()
    for number, score in enumerate(history):
        if number == stop and number > 0:
            checkpoint(run, stopped)
            stopped = last_progress(run)
        assert whole.is_over(options) == stopped.is_over(options)
        assert whole.note(score) == stopped.note(score)
    assert whole == stopped


@pytest.mark.parametrize(
    ("progress", "over"),
    [
        (Progress(), False),
        (Progress(epochs_done=9, best_epoch=9), False),
        (Progress(epochs_done=10, best_epoch=9), True),
        (Progress(epochs_done=6, best_epoch=4), False),
        (Progress(epochs_done=7, best_epoch=4), True),
    ],
)
def test_a_run_is_over_after_its_epochs_or_its_patience(progress, over):
    assert progress.is_over(Experiment(training=Training(epochs=10, early_stopping_patience=3))) is over


def test_patience_begins_anew_with_the_phase_that_fine_tunes():
    experiment = Experiment(
        model=Model(weights="some/run"),
        transfer=Transfer(head_epochs=5),
        training=Training(epochs=20, early_stopping_patience=3),
    )
    assert not Progress(epochs_done=5, best_epoch=1).is_over(experiment)
    assert not Progress(epochs_done=8, best_epoch=1).is_over(experiment)
    assert Progress(epochs_done=9, best_epoch=1).is_over(experiment)


def test_a_run_without_checkpoint_is_at_its_beginning(run):
    assert last_progress(run) == Progress()


def test_the_last_whole_checkpoint_counts(run):
    progress = Progress()
    for score in (1.0, 3.0, 2.0):
        progress.note((score,))
        checkpoint(run, progress)
    assert last_progress(run).epochs_done == 3
    storage.write_bytes(run.checkpoint_variables(3), b"half")
    assert last_progress(run).epochs_done == 2
    storage.remove(run.checkpoint_variables(2))
    assert last_progress(run) == Progress(1, 1, (1.0,))


def test_variables_without_progress_are_no_checkpoint(run):
    progress = Progress()
    progress.note((1.0,))
    checkpoint(run, progress)
    storage.write_bytes(run.checkpoint_variables(2), b"variables")
    assert last_progress(run).epochs_done == 1


def test_what_is_not_kept_and_what_a_killed_writer_left_is_removed(run):
    progress = Progress()
    for score in (3.0, 1.0, 2.0):
        progress.note((score,))
        checkpoint(run, progress)
    storage.write_bytes(storage.join(run.checkpoints, ".epoch-0003.npz.0123abcd"), b"half")
    remove_checkpoints(run, keep=(3, 1))
    assert storage.names_in(run.checkpoints) == [
        "epoch-0001.json",
        "epoch-0001.npz",
        "epoch-0003.json",
        "epoch-0003.npz",
    ]


def test_the_records_are_in_the_checkpoint(run):
    progress = Progress(records=[{"epoch": 1, "validation": {"auroc": None, "loss": 0.1}}])
    progress.note((0.5, -0.1))
    checkpoint(run, progress)
    assert last_progress(run) == progress
    assert json.loads(storage.read_text(run.checkpoint(1)))["records"] == progress.records
