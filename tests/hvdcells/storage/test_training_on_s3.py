"""A run whose directory is in S3 comes through faults of it, and one that cannot go on leaves whole files only."""

import json

import pytest

import hvdcells
from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.runs import lock
from hvdcells.runs.predictions import read_predictions
from hvdcells.spark.backends import InProcess
from tests.small_dataset import write_small_dataset

pytestmark = [pytest.mark.aws, pytest.mark.slow]

EXPERIMENT = hvdcells.recipes.small_cnn().override({"training.epochs": 2, "model.width": 0.2, "data.batch_size": 8})
GROUPS = {"train": [[8], [8]], "validation": [[8, 8]], "test": [[8]]}


@pytest.fixture
def runs(s3, monkeypatch):
    """Location for runs, with no other tries than ours; botocore's and s3fs' would hide that there are any."""
    import boto3
    import s3fs

    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    monkeypatch.setattr(lock, "RENEWED_EVERY_SECONDS", 0.2)
    s3fs.S3FileSystem.clear_instance_cache()
    boto3.client("s3").create_bucket(Bucket="runs")
    yield "s3://runs"
    s3.every, s3.refuse, s3.lose_next = 0, None, None
    storage.remove("s3://runs")
    s3fs.S3FileSystem.clear_instance_cache()


def test_training_evaluating_and_reporting_come_through_faults(s3, runs, tmp_path):
    dataset, before = write_small_dataset(tmp_path, GROUPS), s3.injected.copy()
    s3.every = 6
    s3.lose_next = "PUT"  # the first of all: that of the owner
    run = hvdcells.train(dataset, f"{runs}/run", EXPERIMENT, backend=InProcess())
    hvdcells.evaluate(run, dataset, "test", backend=InProcess())
    s3.every = 0
    injected = s3.injected - before
    assert injected["lost"] == 1
    assert min(injected[kind] for kind in ("500", "503", "slow")) >= 3
    assert json.loads(storage.read_text(run.finished))["best_epoch"] in (1, 2)
    assert len(run.read_metrics()) == 2
    assert len(read_predictions(run, "test")) == 8
    assert "</html>" in storage.read_text(run.report)
    assert lock.OWNER_NAME not in storage.names_in(run.location)


def test_a_dataset_in_s3_is_read_through_faults(s3, runs, tmp_path):
    here = write_small_dataset(tmp_path, GROUPS)
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        storage.write_bytes(storage.join(runs, "dataset", path.relative_to(tmp_path).as_posix()), path.read_bytes())
    s3.every = 3
    there = hvdcells.Dataset.open(f"{runs}/dataset")
    columns = ["image_id", "label", "subject"]
    assert there.read_rows("train", columns).equals(here.read_rows("train", columns))


def test_a_run_that_cannot_be_written_ends_with_one_message_and_whole_files(s3, runs, tmp_path):
    dataset = write_small_dataset(tmp_path, GROUPS)
    s3.refuse = lambda method, path: 503 if method == "PUT" and "epoch-0002.json" in path else None
    with pytest.raises(UserError, match=r"epoch-0002\.json: .*after 5 tries") as caught:
        hvdcells.train(dataset, f"{runs}/run", EXPERIMENT, backend=InProcess())
    assert "--resume" in caught.value.remedy
    s3.refuse = None
    # No second checkpoint, since its last file is missing; the first is whole, and the run goes on from it.
    assert not storage.exists(f"{runs}/run/finished.json")
    run = hvdcells.train(dataset, f"{runs}/run", EXPERIMENT, backend=InProcess(), resume=True)
    assert run.read_json(run.run)["resumed"][0]["after_epoch"] == 1
    assert len(run.read_metrics()) == 2
