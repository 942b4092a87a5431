import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvdcells.input_pipeline import PADDING_ROW, assemble_batches
from hvdcells.reader import RowGroup


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
    batches = list(assemble_batches(row_groups_of(sizes), total, num_steps, batch_size, buffer, rng))
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
    first = list(assemble_batches(stream, 8, 2, 4, 100, np.random.default_rng(0)))
    second = list(assemble_batches(stream, 8, 2, 4, 100, np.random.default_rng(0)))
    assert sorted(np.concatenate([b["row"] for b in first])) == list(range(8))
    assert sorted(np.concatenate([b["row"] for b in second])) == list(range(8, 16))


def test_the_buffer_mixes_images_over_row_groups():
    rng = np.random.default_rng(1)
    first = next(assemble_batches(row_groups_of([10] * 10), 100, 10, 10, 80, rng))
    assert len({row // 10 for row in first["row"]}) >= 4


def test_batches_do_not_share_memory_with_the_buffer():
    batches = assemble_batches(row_groups_of([4] * 4), 16, 4, 4)
    kept = [(batch, batch["image"].copy()) for batch in batches]
    assert all(np.array_equal(batch["image"], copy) for batch, copy in kept)


def test_a_plan_that_disagrees_with_the_row_groups_is_an_error():
    with pytest.raises(RuntimeError, match="are left"):
        list(assemble_batches(row_groups_of([4, 4]), 8, 1, 4))
