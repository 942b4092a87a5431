import gc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvdcells.data.begun_epoch import mixed_order
from hvdcells.data.shard_plan import plan_epoch
from hvdcells.errors import UserError
from hvdcells.rank.input.batches import PADDING_ROW, assemble_batches, rank_batches
from hvdcells.rank.input.buffers import ArrayPool
from hvdcells.rank.input.reader import MemoryCache, RowGroup
from tests.small_dataset import write_small_dataset

GROUPS = {"train": [[8, 8, 3], [8, 5]]}


def arrays(batch_size):
    return ArrayPool((batch_size, 2, 2, 3), np.uint8)


def row_groups_of(sizes, endless=False):
    first = 0
    while True:
        for size in sizes:
            rows = np.arange(first, first + size)
            images = np.broadcast_to(rows[:, None, None, None] % 251, (size, 2, 2, 3)).astype(np.uint8)
            yield RowGroup(images, (rows % 2).astype(np.int32), rows)
            first += size
        if not endless:
            return


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=12),
    st.integers(1, 7),
    st.integers(1, 40),
    st.booleans(),
    st.integers(0, 3),
)
def test_every_image_once_whatever_the_sizes(sizes, batch_size, buffer, shuffled, extra_steps):
    total = sum(sizes)
    num_steps = -(-total // batch_size) + extra_steps
    rng = np.random.default_rng(0) if shuffled else None
    batches = list(assemble_batches(row_groups_of(sizes), total, num_steps, arrays(batch_size), buffer, rng))
    assert len(batches) == num_steps
    assert all(len(batch["label"]) == batch_size for batch in batches)
    rows, weights, labels = (np.concatenate([b[name] for b in batches]) for name in ("row", "weight", "label"))
    images = np.concatenate([batch["image"] for batch in batches])
    real = weights > 0
    assert sorted(rows[real]) == list(range(total))
    assert set(weights) <= {0.0, 1.0}
    assert np.all(rows[~real] == PADDING_ROW)
    assert np.all(images[real][:, 0, 0, 0] == rows[real] % 251), "an image stands beside another's row number"
    assert np.all(labels[real] == rows[real] % 2)
    if not shuffled:
        assert rows[real].tolist() == list(range(total))


def test_an_epoch_takes_its_images_and_leaves_the_next_epoch_its_own():
    stream = row_groups_of([4, 4], endless=True)
    first = list(assemble_batches(stream, 8, 2, arrays(4), 100, np.random.default_rng(0)))
    second = list(assemble_batches(stream, 8, 2, arrays(4), 100, np.random.default_rng(0)))
    assert sorted(np.concatenate([b["row"] for b in first])) == list(range(8))
    assert sorted(np.concatenate([b["row"] for b in second])) == list(range(8, 16))


def test_the_buffer_mixes_images_over_row_groups():
    batches = list(assemble_batches(row_groups_of([10] * 20), 200, 20, arrays(10), 80, np.random.default_rng(1)))
    row_groups_per_batch = [len({row // 10 for row in batch["row"]}) for batch in batches]
    assert np.median(row_groups_per_batch) >= 5


@given(st.integers(1, 300), st.integers(1, 90), st.integers(0, 5))
def test_no_image_is_put_back_further_than_the_buffer(num_images, window, seed):
    order = mixed_order(num_images, window, np.random.default_rng(seed))
    assert sorted(order) == list(range(num_images))
    used_at = np.argsort(order)
    # An image moves by less than the window in either direction, which bounds the batches that are begun.
    assert np.all(np.abs(used_at - np.arange(num_images)) < window)


def test_assembling_reads_no_further_than_the_buffer_needs():
    taken = []

    def row_groups():
        for row_group in row_groups_of([4] * 250):
            taken.append(len(row_group.label))
            yield row_group

    batches = assemble_batches(row_groups(), 1000, 100, arrays(10), 50, np.random.default_rng(0))
    for used, _ in enumerate(batches, start=1):
        assert sum(taken) <= used * 10 + 50 + 4


def test_the_same_seed_gives_the_same_batches():
    def rows(seed):
        batches = assemble_batches(row_groups_of([7] * 9), 63, 8, arrays(8), 30, np.random.default_rng(seed))
        return [batch["row"].tolist() for batch in batches]

    assert rows(5) == rows(5)
    assert rows(5) != rows(6)


def test_batches_do_not_share_memory_with_one_another():
    batches = assemble_batches(row_groups_of([4] * 4), 16, 4, arrays(4), 8, np.random.default_rng(0))
    kept = [(batch, batch["image"].copy()) for batch in batches]
    assert all(np.array_equal(batch["image"], copy) for batch, copy in kept)


@pytest.mark.parametrize(("sizes", "num_images", "num_steps"), [([4, 4], 9, 3), ([4, 5], 8, 2), ([4, 4], 8, 1)])
def test_a_plan_that_disagrees_with_the_row_groups_is_an_error(sizes, num_images, num_steps):
    with pytest.raises(RuntimeError, match=f"{num_images} images"):
        list(assemble_batches(row_groups_of(sizes), num_images, num_steps, arrays(4)))


@pytest.mark.parametrize("num_ranks", [1, 2, 3, 5])
def test_what_fills_up_the_steps_is_what_the_plan_counts(num_ranks):
    rows = [8, 8, 3, 8, 5, 1, 8]
    plan = plan_epoch(rows, num_ranks, 4, seed=0)
    fillers = images = 0
    for rank in range(num_ranks):
        sizes = [rows[row_group] for row_group in plan.row_groups[rank]]
        for batch in assemble_batches(row_groups_of(sizes), plan.images[rank], plan.num_steps, arrays(4)):
            fillers += int((batch["weight"] == 0).sum())
            images += int((batch["weight"] == 1).sum())
    assert fillers == plan.padding
    assert images == sum(rows)


@pytest.mark.tensorflow
@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_the_tensors_are_the_images_of_the_plan(tmp_path, cache_bytes):
    dataset = write_small_dataset(tmp_path, GROUPS)
    rows = dataset.rows_per_row_group("train")
    plans = [plan_epoch(rows, 2, 4, seed=3, epoch=epoch) for epoch in range(3)]
    for rank in range(2):
        with rank_batches(
            dataset,
            "train",
            plans,
            rank,
            input_size=24,
            num_threads=2,
            shuffle_buffer=10,
            seed=3,
            cache_bytes=cache_bytes,
        ) as batches:
            read = list(batches.as_numpy_iterator())
        assert len(read) == sum(plan.num_steps for plan in plans)
        for plan in plans:
            epoch, read = read[: plan.num_steps], read[plan.num_steps :]
            used = np.concatenate([batch["row"][batch["weight"] > 0] for batch in epoch])
            assert sorted(used) == sorted(rows_of(plan.row_groups[rank], rows))
            for batch in epoch:
                real = batch["weight"] > 0
                # The first byte of an image is its row number; see `write_small_dataset`.
                assert np.array_equal(batch["image"][real, 0, 0, 0], batch["row"][real])
                assert np.array_equal(batch["label"][real], batch["row"][real] % 2)


@pytest.mark.tensorflow
def test_batches_that_wait_on_a_device_are_the_same(tmp_path):
    dataset = write_small_dataset(tmp_path, GROUPS)
    plan = plan_epoch(dataset.rows_per_row_group("train"), 1, 4)
    options = {"input_size": 24, "num_threads": 2}
    with (
        rank_batches(dataset, "train", [plan], 0, **options) as plain,
        rank_batches(dataset, "train", [plan], 0, **options, device="/CPU:0") as on_device,
    ):
        for one, other in zip(plain, on_device, strict=True):
            assert "CPU:0" in other["image"].device
            assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.tensorflow
def test_nothing_of_a_stream_stays_in_memory(tmp_path):
    def pools_and_caches():
        gc.collect()
        return [each for each in gc.get_objects() if isinstance(each, ArrayPool | MemoryCache)]

    dataset = write_small_dataset(tmp_path, GROUPS)
    plan = plan_epoch(dataset.rows_per_row_group("train"), 1, 4)
    of_other_tests = pools_and_caches()
    with rank_batches(dataset, "train", [plan, plan], 0, input_size=24, num_threads=2, cache_bytes=1 << 20) as batches:
        next(iter(batches))
        assert len(pools_and_caches()) > len(of_other_tests)
    del batches
    known = {id(each) for each in of_other_tests}
    assert [each for each in pools_and_caches() if id(each) not in known] == []


@pytest.mark.tensorflow
def test_a_damaged_dataset_ends_in_the_users_error(tmp_path):
    dataset = write_small_dataset(tmp_path, GROUPS)
    file = tmp_path / "images/split=train/part-00001.parquet"
    table = pq.read_table(file, partitioning=None)
    nothing = pa.array([b""] * len(table), pa.binary())
    as_the_etl_does = {"row_group_size": 8, "use_dictionary": False}
    pq.write_table(table.set_column(table.schema.get_field_index("image"), "image", nothing), file, **as_the_etl_does)
    plan = plan_epoch(dataset.rows_per_row_group("train"), 1, 4)
    with (
        pytest.raises(UserError, match=r"part-00001\.parquet, row group 0 holds no image"),
        rank_batches(dataset, "train", [plan], 0, input_size=24, num_threads=2) as batches,
    ):
        list(batches)


def rows_of(row_groups, rows_per_row_group):
    first = np.cumsum([0, *rows_per_row_group])
    return [row for group in row_groups for row in range(first[group], first[group + 1])]
