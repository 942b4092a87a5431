"""Pages of Parquet files that say other sizes than the footer: refused before anything is unfolded."""

import io
import os
import resource
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hvdcells import storage
from hvdcells.data.columns import arrow_schema
from hvdcells.data.dataset import Dataset
from hvdcells.errors import UserError
from hvdcells.storage import parquet
from hvdcells.storage.parquet import DamagedPagesError, open_checked
from tests.small_dataset import write_small_dataset

TABLE = pa.table(
    {
        "text": [f"text {row % 7}" for row in range(5000)],
        "number": np.arange(5000),
        "missing": pa.array([None if row % 3 else row for row in range(5000)]),
        "list": [[row, row] for row in range(5000)],
    }
)
FORMATS = [
    {},
    {"data_page_version": "2.0"},
    {"compression": "none", "use_dictionary": False},
    {"compression": "zstd", "row_group_size": 700, "data_page_size": 1000},
    {"write_statistics": False, "version": "1.0"},
]


@pytest.mark.parametrize("options", FORMATS)
def test_whole_files_are_read_as_arrow_reads_them(options, tmp_path):
    pq.write_table(TABLE, tmp_path / "t.parquet", **options)
    with parquet.open_copy(tmp_path / "t.parquet") as opened:
        assert opened.read().equals(TABLE)
        assert opened.read(columns=["number"]).equals(TABLE.select(["number"]))
        assert opened.read_row_group(0).num_rows == min(5000, options.get("row_group_size", 5000))
    with parquet.open_parts(tmp_path / "t.parquet") as opened:
        assert opened.read().equals(TABLE)


def varint(value):
    encoded = b""
    while value >= 128:
        encoded, value = encoded + bytes([value & 127 | 128]), value >> 7
    return encoded + bytes([value])


def sized(value):
    """Return the size of a page as it stands in a header: field 2, an int32, in zigzag."""
    return b"\x15" + varint(2 * value)


def test_a_page_that_says_two_gigabytes_is_refused_before_it_is_unfolded(tmp_path):
    """The header of the one page is written anew, of the same length, so that all else of the file holds."""
    whole = tmp_path / "whole.parquet"
    bomb = pa.array([b"\0" * 5_000_000], pa.binary())
    pq.write_table(pa.table({"a": bomb}), whole, compression="zstd", use_dictionary=False, write_statistics=False)
    content = whole.read_bytes()
    page = sized(5_000_010)  # its length, and whether it is missing, stand before it
    assert content.count(page, 0, 40) == 1
    lying = page[:1] + varint(2 * 134_000_000)
    assert len(lying) == len(page)
    at = content.index(page)
    (tmp_path / "lying.parquet").write_bytes(content[:at] + lying + content[at + len(page) :])
    with pytest.raises(DamagedPagesError, match="134,000,000 bytes and more where the footer says 5,0"):
        open_checked((tmp_path / "lying.parquet").open("rb")).read()
    assert open_checked(whole.open("rb")).read().num_rows == 1


def test_small_files_that_unfold_to_gigabytes_are_refused(tmp_path):
    rows = pa.table({"a": pa.array(np.zeros(30_000_000, np.int8))})
    pq.write_table(rows, tmp_path / "rows.parquet", compression="zstd")
    assert (tmp_path / "rows.parquet").stat().st_size < 100_000
    texts = pa.table({"a": ["x" * 50_000_000]})
    pq.write_table(texts, tmp_path / "texts.parquet", compression="zstd", write_statistics=False)
    assert (tmp_path / "texts.parquet").stat().st_size < 100_000
    for name in ("rows.parquet", "texts.parquet"):
        for read in (parquet.read_table, parquet.read_rows):
            with pytest.raises(DamagedPagesError, match=r"rows and .* bytes in columns of"):
                read(tmp_path / name)


def test_a_text_that_is_repeated_is_held_once(tmp_path):
    """A dictionary of one text of 1 MB, which 50,000 rows name: 50 GB, were each row to have its own."""
    repeated = pa.DictionaryArray.from_arrays(pa.array(np.zeros(50_000, np.int32)), ["y" * 1_000_000])
    pq.write_table(pa.table({"a": repeated}), tmp_path / "t.parquet", compression="none", write_statistics=False)
    tracemalloc.start()
    rows = parquet.read_rows(tmp_path / "t.parquet")
    assert rows["a"].dtype == object
    assert len(rows) == 50_000
    assert len(rows["a"].iloc[-1]) == 1_000_000
    assert tracemalloc.get_traced_memory()[1] < 20e6
    assert pa.total_allocated_bytes() < 50e6
    tracemalloc.stop()


@pytest.fixture
def dataset(tmp_path):
    return write_small_dataset(tmp_path / "dataset", {"train": [[8, 8]], "validation": [[8]], "test": [[8]]})


def replaced(dataset: Dataset, **columns) -> Path:
    path = Path(dataset.location, "images/split=test/part-00000.parquet")
    table = pq.ParquetFile(path).read()
    for name, values in columns.items():
        table = table.set_column(table.schema.names.index(name), name, pa.array(values, table.schema.field(name).type))
    with pq.ParquetWriter(path, arrow_schema(), compression="zstd") as writer:
        writer.write_table(table)
    return path


def test_texts_of_a_dataset_are_bounded(dataset):
    before = dataset.read_rows("test", ["subject", "label", "source"])
    assert before["subject"].dtype == object
    replaced(dataset, source=["x" * 2_000_000] * 8)
    with pytest.raises(UserError, match="values of source of 2,0"):
        dataset.read_rows("test", ["source"])
    replaced(dataset, source=[None] * 8)
    with pytest.raises(UserError, match="rows without a value"):
        dataset.read_rows("test", ["source"])
    assert dataset.read_rows("test", ["subject", "label"]).equals(before[["subject", "label"]])


@pytest.mark.parametrize("place", ["pipe", "device"])
def test_what_is_no_file_is_not_waited_for(place, tmp_path):
    path = tmp_path / place
    os.mkfifo(path) if place == "pipe" else path.symlink_to("/dev/zero")
    for read in (storage.read_bytes, storage.read_text, parquet.read_table, parquet.read_rows):
        with pytest.raises(OSError, match="no regular file"):
            read(path)
    with pytest.raises(OSError, match="no regular file"), storage.open_file(path):
        pass
    with pytest.raises(UserError, match="no regular file"), storage.user_errors():
        storage.read_bytes(path)


def test_damaged_files_are_refused_and_take_no_memory(tmp_path):
    pq.write_table(TABLE, tmp_path / "t.parquet", compression="zstd", data_page_size=2000)
    whole = (tmp_path / "t.parquet").read_bytes()
    rng = np.random.default_rng(0)
    before, refused = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(4, len(whole) - 8, 3):
            damaged[place] = rng.integers(256)
        try:
            open_checked(io.BytesIO(bytes(damaged))).read()
        except (ValueError, OSError, pa.ArrowException, UnicodeDecodeError):
            refused += 1
    assert refused > 100
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB
