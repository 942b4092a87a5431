import pytest

from hvdcells.data.dataset import Dataset
from hvdcells.errors import UserError
from hvdcells.experiment import Experiment
from hvdcells.runs.directory import RunDirectory, write_json


def test_a_new_or_empty_folder_is_free(tmp_path):
    RunDirectory.at(tmp_path / "new").check_free()
    RunDirectory.at(tmp_path).check_free()
    assert list(tmp_path.iterdir()) == [], "looking makes nothing"


@pytest.mark.parametrize(
    ("file", "words"),
    [("run.json", "did not finish"), ("finished.json", "finished run"), ("photo.png", "other files")],
)
def test_a_folder_with_something_in_it_is_refused(tmp_path, file, words):
    (tmp_path / file).write_text("{}")
    with pytest.raises(UserError, match=words):
        RunDirectory.at(tmp_path).check_free()


def test_overwriting_deletes_a_run_and_nothing_else(tmp_path):
    run = RunDirectory.at(tmp_path / "run")
    write_json(run.run, {})
    write_json(run.checkpoint(1), {})
    (tmp_path / "run/owner.json").write_text("{}")
    run.clear()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["owner.json"]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/one.png").write_text("dear")
    with pytest.raises(UserError):
        RunDirectory.at(tmp_path / "photos").clear()
    assert (tmp_path / "photos/one.png").exists()


def test_an_unfinished_run_is_not_taken_for_whole(tmp_path):
    run = RunDirectory.at(tmp_path)
    with pytest.raises(UserError, match="no run"):
        run.read_experiment()
    write_json(run.run, {})
    write_json(run.experiment, Experiment().model_dump())
    with pytest.raises(UserError, match="did not finish"):
        run.read_experiment()
    write_json(run.finished, {})
    assert run.read_experiment() == Experiment()


def test_a_dataset_without_manifest_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match="nothing is there"):
        Dataset.open(tmp_path / "missing")
    with pytest.raises(UserError, match=r"without manifest\.json"):
        Dataset.open(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(UserError, match="not a manifest"):
        Dataset.open(tmp_path)
