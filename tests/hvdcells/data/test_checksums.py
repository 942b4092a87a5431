"""What is read of a dataset is what was written, or nobody trains on it."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from hvdcells.data import parquet as data_parquet
from hvdcells.data.checksums import checksum_of_read, column_checksum, pixel_hash, row_group_checksum
from hvdcells.data.columns import arrow_schema
from hvdcells.data.manifest import ParquetFile
from hvdcells.errors import UserError
from hvdcells.rank.input import reader
from tests.small_dataset import write_small_dataset

GROUPS = {"train": [[5, 5], [7]], "validation": [[4]]}


def damage(path, change):
    """Write a Parquet file anew with the same row groups, its rows changed."""
    file = pq.ParquetFile(path)
    groups = [file.read_row_group(number).to_pylist() for number in range(file.num_row_groups)]
    change(groups)
    with pq.ParquetWriter(path, arrow_schema(), use_dictionary=False) as writer:
        for rows in groups:
            columns = {name: [row[name] for row in rows] for name in arrow_schema().names}
            writer.write_table(pa.Table.from_pydict(columns, schema=arrow_schema()))


def flip_one_bit(groups):
    stored = bytearray(groups[1][2]["image"])
    stored[-1] ^= 1
    groups[1][2]["image"] = bytes(stored)


def swap_labels(groups):
    one, other = groups[1][0], groups[1][1]
    one["label"], other["label"] = other["label"], one["label"]


def read(dataset, order, **options):
    with reader.open_reader(dataset, "train", order, **{"input_size": 24, "num_threads": 1, **options}) as row_groups:
        return list(row_groups)


@pytest.mark.parametrize("change", [flip_one_bit, swap_labels])
@pytest.mark.parametrize("input_size", [24, 16])
def test_one_bit_or_two_labels_are_missed(tmp_path, change, input_size):
    dataset = write_small_dataset(tmp_path, GROUPS)
    damage(tmp_path / dataset.split("train").files[0].path, change)
    assert len(read(dataset, [0, 2], input_size=input_size)) == 2
    with pytest.raises(UserError, match="row group 1: not what was written there"):
        read(dataset, [0, 1, 2], input_size=input_size)


def test_damage_of_a_png_that_still_decodes_is_missed(tmp_path):
    dataset = write_small_dataset(tmp_path, GROUPS, encoding="png")
    read(dataset, [0, 1, 2])

    def exchange(groups):
        groups[1][0]["image"], groups[1][1]["image"] = groups[1][1]["image"], groups[1][0]["image"]

    damage(tmp_path / dataset.split("train").files[0].path, exchange)
    with pytest.raises(UserError, match="row group 1: not what was written there"):
        read(dataset, [1])


def test_a_row_group_is_held_to_its_checksum_once_however_often_it_is_read(tmp_path, monkeypatch):
    dataset = write_small_dataset(tmp_path, GROUPS)
    held = []

    def count(images, labels, checksum, where):
        held.append(checksum)
        data_parquet.refuse_changed_images(images, labels, checksum, where)

    monkeypatch.setattr(reader, "refuse_changed_images", count)
    read(dataset, [0, 1, 2] * 4)
    assert sorted(held) == sorted(place.checksum for place in dataset.row_groups("train"))


def test_a_share_of_a_row_group_is_held_to_the_checksum_of_all_of_it(tmp_path):
    dataset = write_small_dataset(tmp_path, GROUPS)
    chosen = np.zeros(17, bool)
    chosen[[0, 6, 16]] = True
    view = type(dataset)(dataset.location, dataset.manifest, chosen_images={"train": chosen})
    assert [len(each.label) for each in read(view, [0, 1, 2, 1])] == [1, 1, 1, 1]
    whole = np.concatenate([each.image for each in read(dataset, [0, 1, 2])])
    np.testing.assert_array_equal(np.concatenate([each.image for each in read(view, [0, 1, 2])]), whole[chosen])
    damage(tmp_path / dataset.split("train").files[0].path, flip_one_bit)  # an image that is not in the share
    with pytest.raises(UserError, match="row group 1: not what was written there"):
        read(view, [0, 1, 2])


def test_a_changed_column_is_missed_by_who_reads_it(tmp_path):
    dataset = write_small_dataset(tmp_path, GROUPS)
    damage(tmp_path / dataset.split("train").files[1].path, lambda groups: groups[0][0].update(subject="another"))
    dataset.read_rows("train", ["label", "image_id"])
    with pytest.raises(UserError, match=r"part-00001\.parquet, column subject: not what was written there"):
        dataset.read_rows("train", ["label", "subject"])


def test_checksums_tell_order_shape_and_borders():
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    labels = np.array([0, 1], np.int32)
    assert checksum_of_read(images, labels) == row_group_checksum(map(pixel_hash, images), [0, 1])
    assert checksum_of_read(images, labels) != checksum_of_read(images[::-1], labels)
    assert checksum_of_read(images, labels) != checksum_of_read(images, labels[::-1])
    assert pixel_hash(images[0]) != pixel_hash(images[0].reshape(2, 8, 3))
    assert pixel_hash(images[0]) == pixel_hash(images[0][::-1][::-1])
    assert column_checksum(["ab", "c"]) != column_checksum(["a", "bc"])


def test_a_manifest_with_too_few_checksums_is_none():
    with pytest.raises(ValidationError, match="1 checksums for 2 row groups"):
        ParquetFile(
            path="images/split=train/part-00000.parquet", rows_per_row_group=(1, 1), row_group_checksums=("0" * 16,)
        )
