"""What a run is refused to go on with, and what is found of it. No rank is started."""

import pytest

import hvdcells
from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.experiment import recipes
from hvdcells.runs.directory import RunDirectory, write_json
from hvdcells.runs.earlier_run import dataset_digest, find_earlier_run
from hvdcells.runs.progress import Progress, write_progress
from tests.small_dataset import write_small_dataset

GROUPS = {"train": [[8, 8]], "validation": [[8, 8]], "test": [[4]]}
EXPERIMENT = recipes.small_cnn().override({"training.epochs": 5, "training.early_stopping_patience": 2})


@pytest.fixture
def dataset(tmp_path):
    return write_small_dataset(tmp_path / "dataset", GROUPS)


@pytest.fixture
def run(tmp_path, dataset):
    """A run of two workers that was begun."""
    directory = RunDirectory.at(tmp_path / "run")
    write_json(
        directory.run, {"dataset": {"location": dataset.location, "digest": dataset_digest(dataset)}, "workers": 2}
    )
    write_json(directory.experiment, EXPERIMENT.model_dump())
    return directory


def reach(run, *scores):
    """Write the checkpoint after epochs with these scores."""
    progress = Progress(records=[{"validation": {"weighted_f1": score}} for score in scores])
    for score in scores:
        progress.note((score, 0.0))
    storage.write_bytes(run.checkpoint_variables(progress.epochs_done), b"variables")
    write_progress(run, progress)


def test_the_run_goes_on_with_its_own_experiment_and_workers(run, dataset):
    reach(run, 0.4, 0.9, 0.5)
    for experiment, workers in ((None, None), (EXPERIMENT, 2)):
        earlier = find_earlier_run(run, dataset, experiment, workers)
        assert (earlier.experiment, earlier.workers) == (EXPERIMENT, 2)
        assert (earlier.progress.epochs_done, earlier.progress.best_epoch) == (3, 2)
    assert earlier.message == (
        "Found the checkpoint of epoch 3 of 5 (best: epoch 2, weighted F1 0.9000): going on with epoch 4."
    )


def test_what_differs_is_refused_all_together(run, dataset, tmp_path):
    other = write_small_dataset(tmp_path / "other", {**GROUPS, "train": [[8, 9]]})
    experiment = EXPERIMENT.override({"training.epochs": 9, "optimizer.learning_rate": 0.5})
    with pytest.raises(UserError) as caught:
        find_earlier_run(run, other, experiment, 3)
    message = str(caught.value)
    assert message.count("what to do:") == 3
    assert "training.epochs=9 (was 5)" in message
    assert "optimizer.learning_rate=0.5 (was 0.016)" in message
    assert "3 workers" in message
    assert other.location in message


def test_a_moved_dataset_is_the_same_dataset(run, tmp_path):
    moved = write_small_dataset(tmp_path / "moved", GROUPS)
    assert find_earlier_run(run, moved, None, None)


def test_another_order_of_the_same_files_is_another_dataset(dataset, tmp_path):
    manifest = dataset.manifest.model_copy(update={"options": {"seed": 1}})
    assert dataset_digest(hvdcells.Dataset(dataset.location, manifest)) != dataset_digest(dataset)


def test_before_the_first_checkpoint_the_run_starts_anew(run, dataset):
    earlier = find_earlier_run(run, dataset, None, None)
    assert earlier.progress == Progress()
    assert "starts anew" in earlier.message


def test_a_run_that_only_lacks_its_end_is_brought_to_it(run, dataset):
    reach(run, 0.9, 0.5, 0.4)
    assert "no epoch is left" in find_earlier_run(run, dataset, None, None).message


def test_a_finished_run_is_left_as_it_is(run, dataset, capsys):
    reach(run, 0.4, 0.9)
    write_json(run.finished, {"best_epoch": 2, "epochs": 2})
    before = {name: storage.read_bytes(run.path(name)) for name in ("run.json", "finished.json", "experiment.json")}
    assert hvdcells.train(dataset, run.location, resume=True) == run
    assert "nothing to do" in capsys.readouterr().out
    assert {name: storage.read_bytes(run.path(name)) for name in before} == before
    with pytest.raises(UserError, match="4 workers"):
        hvdcells.train(dataset, run.location, workers=4, resume=True)


def test_where_no_run_was_begun_there_is_none(tmp_path, dataset):
    directory = RunDirectory.at(tmp_path / "nothing")
    assert find_earlier_run(directory, dataset, None, None) is None
    write_json(directory.run, {})  # killed in the moment between the two files
    assert find_earlier_run(directory, dataset, None, None) is None
