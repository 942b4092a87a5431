"""What storage does to a task reaches the user as one message, as it does from the driver."""

import errno
import os

import pytest

from etl import pipeline
from etl.options import EtlOptions
from etl.pipeline import run_etl
from etl.shards.jobs import flat_map
from hvdcells import storage
from hvdcells.errors import UserError
from tests.etl.cells import cell, write_image

pytestmark = pytest.mark.spark

SMALL = EtlOptions.of(image_size=16)


@pytest.fixture
def cells(tmp_path):
    for number in range(12):
        write_image(tmp_path / "source" / ("eos", "mono")[number % 2] / f"{number}.png", cell(number))
    return tmp_path / "source"


def failing(code, place):
    def work(_):
        raise OSError(code, os.strerror(code), place)

    return work


@pytest.mark.parametrize(
    ("code", "place", "remedy"),
    [
        (errno.ENOSPC, "/data/images/part", "free some"),
        (errno.EACCES, "/data/images/part", "get the right"),
        (errno.ECONNREFUSED, "s3://cells/images/part", "AWS_ENDPOINT_URL"),
        (errno.EACCES, "s3://cells/images/part", "s3:PutObject"),
    ],
)
def test_an_error_of_storage_in_a_task_is_told_in_three_parts(spark, code, place, remedy):
    with pytest.raises(UserError) as told, storage.user_errors():
        flat_map(spark, [1, 2], failing(code, place), 2).collect()
    assert told.value.given.startswith(place)
    assert remedy in told.value.remedy
    assert "Traceback" not in str(told.value)


def test_what_is_no_error_of_storage_keeps_its_trace(spark):
    def work(number):
        return [1 // number]

    with pytest.raises(Exception, match="ZeroDivisionError"), storage.user_errors():
        flat_map(spark, [0], work, 1).collect()


def test_a_dataset_that_cannot_be_written_is_told_and_the_same_command_goes_on(spark, cells, tmp_path, monkeypatch):
    dataset = tmp_path / "dataset"

    def blocked(spark, numbers, context, count):
        # A file where a task makes its folder: neither permissions nor quotas bind whoever runs tests as root.
        (dataset / "images").mkdir()
        (dataset / "images" / "split=train").touch()
        monkeypatch.undo()
        return decode_all(spark, numbers, context, count)

    decode_all = pipeline.decode_all
    monkeypatch.setattr(pipeline, "decode_all", blocked)
    with pytest.raises(UserError) as told:
        run_etl(spark, cells, dataset, SMALL)
    assert "split=train" in told.value.given
    assert told.value.remedy.startswith("name another place: a file is where a folder would have to be")
    (dataset / "images" / "split=train").unlink()
    assert run_etl(spark, cells, dataset, SMALL).written == 12
