"""Addresses in the files of a run are followed beside the run alone, unless the user has named them himself."""

import pytest

import hvdcells
from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.experiment import Experiment
from hvdcells.report.facts import gather
from hvdcells.runs.directory import RunDirectory, write_json
from launch.stages import Pipeline


@pytest.mark.parametrize(
    ("address", "typed"),
    [
        ("/data/cells", "/runs/one"),
        ("file:///data/cells", "/runs/one"),
        ("s3://cells/dataset", "s3://cells/runs/one"),
        ("https://host:8080/dataset", "https://host:8080/runs/one"),
    ],
)
def test_on_the_same_disk_in_the_same_bucket_or_on_the_same_host_is_near(address, typed):
    assert storage.is_near(address, typed)


@pytest.mark.parametrize(
    ("address", "typed"),
    [
        ("http://169.254.169.254/latest", "/runs/one"),
        ("s3://others/dataset", "s3://cells/runs/one"),
        ("http://cells/dataset", "s3://cells/runs/one"),
        ("https://host:9090/dataset", "https://host:8080/runs/one"),
        ("/etc", "s3://cells/runs/one"),
        ("simplecache::http://host/dataset", "/runs/one"),
        ("simplecache::http://host/dataset", "simplecache::http://host/runs"),
        ("s3://cells/dataset::zip", "s3://cells/runs/one"),
    ],
)
def test_elsewhere_is_not(address, typed):
    assert not storage.is_near(address, typed)


@pytest.fixture
def run(tmp_path):
    """A run of somebody else, which says that its dataset is where the user would not look."""
    directory = RunDirectory.at(tmp_path / "run")
    named = {
        "location": "memory://elsewhere/dataset",
        "digest": "0",
        "validation_fold": None,
        "class_names": ["a", "b"],
    }
    write_json(directory.experiment, Experiment().model_dump())
    write_json(directory.run, {"dataset": named, "workers": 1})
    write_json(directory.finished, {"best_epoch": 1, "epochs": 1})
    return directory


@pytest.fixture
def asked(monkeypatch):
    """The locations of whatever is asked whether it is a dataset."""
    locations = []

    def opened(location, *_):
        locations.append(location)
        raise UserError(f"{location} is opened", "", "")

    monkeypatch.setattr(hvdcells.Dataset, "open", opened)
    return locations


def test_evaluate_does_not_follow_it_and_says_how_to_name_it(run, asked):
    with pytest.raises(UserError, match="says that its dataset is at memory://elsewhere/dataset") as refused:
        hvdcells.evaluate(run.location)
    assert "--dataset memory://elsewhere/dataset" in refused.value.remedy
    assert asked == []


@pytest.mark.parametrize("place", ["memory://elsewhere/dataset", "memory://elsewhere/moved"])
def test_evaluate_takes_what_is_typed(run, asked, place):
    with pytest.raises(UserError, match="is opened"):
        hvdcells.evaluate(run.location, place)
    assert asked == [place]


def test_a_report_does_not_follow_it_either_and_notes_that(run, asked):
    facts = gather(run)
    assert facts.dataset is None
    assert any("memory://elsewhere/dataset" in text for text in facts.missing)
    assert asked == []
    gather(run.following("memory://elsewhere/dataset"))
    assert asked == ["memory://elsewhere/dataset"]


def test_stages_name_a_dataset_that_is_not_beside_the_run():
    for run, named in (("s3://cells/run", []), ("s3://runs/run", ["--dataset", "s3://cells/dataset"])):
        stages = Pipeline(source="s3://cells/images", dataset="s3://cells/dataset", run=run).stages(2)
        assert stages["report"] == ["report", run, *named]
        assert [word for word in stages["evaluate"] if word in ("--dataset", "s3://cells/dataset")] == named
