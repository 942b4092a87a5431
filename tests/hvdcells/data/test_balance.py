"""Class-balanced sampling: every image is used, every class equally often, and all of it is in the plan."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hvdcells.data.balance import balanced_uses, plan_training
from hvdcells.experiment import Data, Experiment, Training
from hvdcells.rank.input.batches import with_repeats
from hvdcells.rank.input.buffers import ArrayPool
from hvdcells.rank.input.reader import RowGroup


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200), st.integers(0, 5))
def test_every_image_is_used_and_every_class_equally_often(values, epoch):
    labels = np.array(values)
    uses = balanced_uses(labels, seed=1, epoch=epoch)
    counts = Counter(values)
    assert uses.min() >= 1
    for label in counts:
        of_class = uses[labels == label]
        assert of_class.sum() == max(counts.values())
        assert np.ptp(of_class) <= 1
    assert np.array_equal(uses, balanced_uses(labels, seed=1, epoch=epoch))


def test_who_is_used_once_more_changes_from_epoch_to_epoch():
    labels = np.array([0] * 100 + [1] * 60)
    first, second = (balanced_uses(labels, seed=1, epoch=epoch) for epoch in (0, 1))
    assert not np.array_equal(first, second)


LABELS = np.array([0] * 37 + [1] * 11)
np.random.default_rng(0).shuffle(LABELS)
ROWS = [10, 10, 10, 10, 8]


def dataset_of(labels, rows):
    """What of a dataset a plan is made from."""
    import pandas as pd

    return SimpleNamespace(rows_per_row_group=lambda _: rows, read_rows=lambda *_: pd.DataFrame({"label": labels}))


def experiment_of(sampling):
    return Experiment(data=Data(batch_size=4, sampling=sampling), training=Training(class_weights="none"))


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_the_batches_of_all_ranks_hold_each_image_as_often_as_the_plan_says(num_ranks):
    from hvdcells.rank.input.batches import PADDING_ROW, assemble_batches

    firsts = np.cumsum([0, *ROWS])
    for plan in plan_training(dataset_of(LABELS, ROWS), experiment_of("balanced"), num_ranks, range(3)):
        assert sum(plan.images) == 2 * 37
        expected = np.concatenate(plan.uses)
        assert np.array_equal(expected, balanced_uses(LABELS, seed=0, epoch=plan.epoch))
        seen: Counter[int] = Counter()
        for rank in range(num_ranks):

            def row_groups(rank=rank, plan=plan):
                for index in plan.row_groups[rank]:
                    rows = np.arange(firsts[index], firsts[index + 1])
                    yield RowGroup(np.zeros((len(rows), 1, 1, 3), np.uint8), LABELS[rows].astype(np.int32), rows)

            arrays = ArrayPool((4, 1, 1, 3), np.uint8)
            used = with_repeats(row_groups(), plan, rank)
            rng = np.random.default_rng((0, plan.epoch, rank))
            batches = list(assemble_batches(used, plan.images[rank], plan.num_steps, arrays, 16, rng))
            assert len(batches) == plan.num_steps
            for batch in batches:
                real = batch["weight"] == 1
                assert np.array_equal(real, batch["row"] != PADDING_ROW)
                assert np.array_equal(batch["label"][real], LABELS[batch["row"][real]])
                seen.update(batch["row"][real].tolist())
        assert [seen[row] for row in range(len(LABELS))] == expected.tolist()


def test_without_it_each_image_is_used_once():
    (plan,) = plan_training(dataset_of(LABELS, ROWS), experiment_of("once"), 2, [4])
    assert plan.uses is None
    assert plan.epoch == 4
    assert sum(plan.images) == len(LABELS)


def test_classes_are_balanced_in_one_way_only():
    with pytest.raises(ValidationError, match="class_weights=none"):
        Experiment(data=Data(sampling="balanced"))
