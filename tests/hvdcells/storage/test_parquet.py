"""Parquet at any location, through one module."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from hvdcells.storage import parquet
from hvdcells.storage.remote_file import RemoteFile

ROOT = Path(__file__).parents[3]
TABLE = pa.table({"image": [b"x" * 300_000, b"y" * 300_000], "label": [0, 1]})


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.aws)])
def location(request, tmp_path):
    if request.param == "disk":
        return f"{tmp_path}/folder/split=train/rows.parquet"
    import boto3

    request.getfixturevalue("s3")
    bucket = f"parquet-{tmp_path.name[:40].replace('_', '-').strip('-')}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/folder/split=train/rows.parquet"


def test_what_is_written_is_read(location):
    parquet.write_table(location, TABLE)
    # No column `split`, as pyarrow makes one of such a folder.
    assert parquet.read_table(location) == TABLE
    assert parquet.read_table(location, ["label"]).column_names == ["label"]
    for opened in (parquet.open_copy, parquet.open_parts):
        with opened(location) as file:
            assert file.read_row_group(0, columns=["label"])["label"].to_pylist() == [0, 1]
            assert file.read() == TABLE


def test_a_schema_keeps_its_metadata(location):
    schema = TABLE.schema.with_metadata({b"key": b"value"})
    parquet.write_schema(location, schema)
    assert parquet.read_schema(location).metadata[b"key"] == b"value"
    assert parquet.read_schema(location).names == ["image", "label"]


@pytest.mark.aws
def test_of_parts_nothing_else_is_fetched(s3, location, monkeypatch):
    parquet.write_table(location, TABLE)
    fetched, fetch = [], RemoteFile._fetch

    def noted(*arguments):
        fetched.append(fetch(*arguments))
        return fetched[-1]

    monkeypatch.setattr(RemoteFile, "_fetch", noted)
    with parquet.open_parts(location) as file:
        file.read(columns=["label"])
    if location.startswith("s3://"):
        assert fetched
    assert sum(map(len, fetched)) < 100_000


def test_pandas_rows_come_back_with_their_types(location):
    rows = pd.DataFrame({"label": [0, 1], "probability": [0.25, 0.5], "subject": ["a", "b"]})
    parquet.write_table(location, pa.Table.from_pandas(rows, preserve_index=False))
    pd.testing.assert_frame_equal(parquet.read_table(location).to_pandas(), rows)


def test_the_hotfix_comes_with_it_and_storage_alone_does_not_load_pyarrow():
    code = (
        "import sys, hvdcells.storage as s; assert 'pyarrow' not in sys.modules;"
        "import hvdcells.storage.parquet; assert 'pyarrow_hotfix' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_nothing_else_opens_parquet():
    names = [
        path.relative_to(ROOT).as_posix()
        for package in ("hvdcells", "etl", "launch")
        for path in (ROOT / package).rglob("*.py")
        if any(word in path.read_text() for word in ("pyarrow.parquet", "read_parquet", "to_parquet"))
    ]
    assert names == ["hvdcells/storage/parquet.py"]
