import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hvdcells.errors import UserError
from hvdcells.rank.input.reader import MemoryCache, fits_in_memory, open_reader
from tests.small_dataset import write_small_dataset

GROUPS = {"train": [[8, 8, 3], [8, 5]], "validation": [[4, 4, 1]], "test": [[4]]}


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
    for file in tmp_path.glob("split=train/*.parquet"):
        table = pq.read_table(file)
        nothing = pa.array([b""] * len(table), pa.binary())
        pq.write_table(table.set_column(table.schema.get_field_index("image"), "image", nothing), file)
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
    file = tmp_path / "split=train/part-00000.parquet"
    table = pq.read_table(file, partitioning=None)
    values = table["image"].to_pylist()
    values[9] = value
    index = table.schema.get_field_index("image")
    pq.write_table(table.set_column(index, "image", pa.array(values, pa.binary())), file, row_group_size=8)
    with pytest.raises(UserError, match=r"part-00000\.parquet, row group 1 holds no image"):
        read(dataset, [0, 1, 2])


class Hostile:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (eval, (f"open({str(self.path)!r}, 'w').close()",))


def test_a_hostile_schema_beside_the_data_is_not_run(tmp_path):
    dataset = write_small_dataset(tmp_path / "dataset", GROUPS)
    trap = tmp_path / "trap"
    schema = pq.read_schema(tmp_path / "dataset/split=train/part-00000.parquet")
    metadata = {b"dataset-toolkit.unischema.v1": pickle.dumps(Hostile(trap), protocol=2)}
    pq.write_metadata(schema.with_metadata(metadata), tmp_path / "dataset/_common_metadata")
    assert len(read(dataset, [0, 1])) == 2
    assert not trap.exists()
