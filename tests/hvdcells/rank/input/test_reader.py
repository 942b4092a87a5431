import errno
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from hvdcells.data.dataset import Dataset
from hvdcells.errors import UserError
from hvdcells.rank.input.reader import MemoryCache, fits_in_memory, open_reader
from tests.small_dataset import write_small_dataset

GROUPS = {"train": [[8, 8, 3], [8, 5]], "validation": [[4, 4, 1]], "test": [[4]]}


def write_again(file, table, row_group_size=8, **columns):
    """Write a file of a dataset with other columns in place of its own."""
    for name, column in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, column)
    pq.write_table(table, file, row_group_size=row_group_size, use_dictionary=False)


def read(dataset, order, **options):
    with open_reader(dataset, "train", order, **{"input_size": 24, "num_threads": 2, **options}) as row_groups:
        return list(row_groups)


@pytest.mark.parametrize("encoding", ["raw", "png"])
def test_reads_the_planned_row_groups_in_the_planned_order(tmp_path, encoding):
    dataset = write_small_dataset(tmp_path, GROUPS, encoding=encoding)
    order = [4, 0, 2, 0, 1, 3]
    row_groups = read(dataset, order, num_threads=3)
    rows = dataset.rows_per_row_group("train")
    first = np.cumsum([0, *rows])
    assert [group.row.tolist() for group in row_groups] == [list(range(first[i], first[i] + rows[i])) for i in order]
    for group in row_groups:
        assert group.image.shape == (len(group.row), 24, 24, 3)
        assert group.image.dtype == np.uint8
        assert np.array_equal(group.image[:, 0, 0, 0], group.row), "channel 0 of an image is red"
        assert np.array_equal(group.label, group.row % 2)


def test_a_fast_consumer_gets_every_row_group_in_order(tmp_path):
    dataset = write_small_dataset(tmp_path, GROUPS)
    rows = dataset.rows_per_row_group("train")
    first = np.cumsum([0, *rows])
    order = np.random.default_rng(0).integers(0, len(rows), 400).tolist()
    for num_threads in (1, 2, 3):  # from memory, the pool alone mixes up the order and loses the last row group
        row_groups = read(dataset, order, cache=MemoryCache(), num_threads=num_threads)
        assert [group.row[0] for group in row_groups] == first[order].tolist()


def test_resizes_to_the_input_size(tmp_path):
    dataset = write_small_dataset(tmp_path, GROUPS)
    whole, small = read(dataset, [0])[0].image, read(dataset, [0], input_size=12)[0].image
    assert small.shape == (8, 12, 12, 3)
    area = whole.reshape(8, 12, 2, 12, 2, 3).mean((2, 4))
    assert np.abs(small - area).max() <= 1


def test_the_cache_reads_each_row_group_once(tmp_path):
    dataset = write_small_dataset(tmp_path, GROUPS)
    cache = MemoryCache()
    before = read(dataset, [0, 1, 2, 3, 4], cache=cache)
    for file in tmp_path.glob("images/split=train/*.parquet"):
        table = pq.read_table(file, partitioning=None)
        write_again(file, table, image=pa.array([b""] * len(table), pa.binary()))
    again = read(dataset, [4, 3, 2, 1, 0], cache=cache)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(before, reversed(again), strict=True))


def test_the_bound_of_the_cache_counts_decoded_bytes(tmp_path):
    dataset = write_small_dataset(tmp_path, GROUPS)
    needed = 32 * 24 * 24 * 3
    assert fits_in_memory(dataset, "train", 24, needed)
    assert not fits_in_memory(dataset, "train", 24, needed - 1)


@pytest.mark.parametrize("encoding", ["raw", "png"])
@pytest.mark.parametrize("value", [b"", b"no image", None])
def test_a_value_that_is_no_image_names_the_file(tmp_path, encoding, value):
    dataset = write_small_dataset(tmp_path, GROUPS, encoding=encoding)
    file = tmp_path / "images/split=train/part-00000.parquet"
    table = pq.read_table(file, partitioning=None)
    values = table["image"].to_pylist()
    values[9] = value
    write_again(file, table, image=pa.array(values, pa.binary()))
    with pytest.raises(UserError, match=r"part-00000\.parquet, row group 1 holds no image"):
        read(dataset, [0, 1, 2])


def test_a_png_that_is_cut_short_is_refused(tmp_path):
    dataset = write_small_dataset(tmp_path, GROUPS, encoding="png")
    file = tmp_path / "images/split=train/part-00000.parquet"
    table = pq.read_table(file, partitioning=None)
    values = table["image"].to_pylist()
    values[0] = values[0][: len(values[0]) // 2]
    write_again(file, table, image=pa.array(values, pa.binary()))
    with pytest.raises(UserError, match=r"row group 0 holds no image .*no whole PNG"):
        read(dataset, [0])


def test_row_groups_of_other_sizes_than_the_manifest_says_are_refused(tmp_path):
    dataset = write_small_dataset(tmp_path, GROUPS)
    file = tmp_path / "images/split=train/part-00000.parquet"
    write_again(file, pq.read_table(file, partitioning=None), row_group_size=19)
    with pytest.raises(UserError, match=r"part-00000\.parquet has row groups of 19 rows") as error:
        read(dataset, [0])
    assert error.value.expected == "row groups of 8, 8, 3 rows, as the manifest says"


def test_other_columns_are_refused(tmp_path):
    dataset = write_small_dataset(tmp_path, GROUPS)
    file = tmp_path / "images/split=train/part-00000.parquet"
    table = pq.read_table(file, partitioning=None)
    write_again(file, table, image=table["image"].cast(pa.large_binary()))
    with pytest.raises(UserError, match="other columns"):
        read(dataset, [0])


@pytest.mark.parametrize("label", [-1, 2, None])
def test_a_label_that_names_no_class_is_refused(tmp_path, label):
    dataset = write_small_dataset(tmp_path, GROUPS)
    file = tmp_path / "images/split=train/part-00000.parquet"
    table = pq.read_table(file, partitioning=None)
    labels = table["label"].to_pylist()
    labels[9] = label
    write_again(file, table, label=pa.array(labels, pa.int32()))
    assert len(read(dataset, [0])) == 1
    with pytest.raises(UserError, match="row group 1 holds labels that name no class"):
        read(dataset, [1])


@pytest.mark.parametrize("damage", ["removed", "empty", "cut short", "no footer", "page overwritten"])
def test_a_damaged_file_is_named(tmp_path, damage):
    dataset = write_small_dataset(tmp_path, GROUPS)
    file = tmp_path / "images/split=train/part-00000.parquet"
    content = file.read_bytes()
    file.unlink()
    if damage != "removed":
        kept = {"empty": 0, "cut short": len(content) // 2, "no footer": len(content) - 8}.get(damage, len(content))
        overwritten = 4 + 40 if damage == "page overwritten" else 0
        file.write_bytes(content[:4] + b"\xff" * (overwritten - 4) + content[overwritten or 4 : kept])
    with pytest.raises(UserError, match=r"split=train/part-00000\.parquet.* (is missing|cannot be read)"):
        read(dataset, [0])
    assert len(read(dataset, [3, 4])) == 2


def test_a_footer_whose_names_are_no_text_is_damage(tmp_path):
    dataset = write_small_dataset(tmp_path, GROUPS)
    file = tmp_path / "images/split=train/part-00000.parquet"
    content = file.read_bytes()
    assert b"subject" in content[-4096:]
    file.write_bytes(content.replace(b"subject", b"\xff\xff\xffject"))
    with pytest.raises(UserError, match=r"part-00000\.parquet (cannot be read|holds other columns)"):
        read(dataset, [0])


def test_an_error_of_the_disk_is_not_taken_for_damage(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    dataset = write_small_dataset(tmp_path, GROUPS)
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", fails)
    with pytest.raises(OSError, match="Input/output error"):
        read(dataset, [0])


def test_reads_from_an_object_store(s3):
    filesystem = s3fs.S3FileSystem()
    filesystem.mkdir("reading")
    with TemporaryDirectory() as folder:
        here = write_small_dataset(Path(folder), GROUPS)
        filesystem.put(folder, "reading/dataset", recursive=True)
        order = [4, 0, 2]
        expected = read(here, order)
    found = read(Dataset.open("s3://reading/dataset"), order)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(found, expected, strict=True))
