"""What is left of an epoch that was stopped: every image is used as often as it would have been, by any ranks."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from hvdcells.data.begun_epoch import order_of_rank, plan_rest
from hvdcells.data.shard_plan import plan_epoch
from hvdcells.rank.input.batches import PADDING_ROW, assemble_batches, with_repeats
from hvdcells.rank.input.buffers import ArrayPool
from hvdcells.rank.input.reader import RowGroup

ROWS, BATCH, SEED, BUFFER = [7, 8, 3, 8, 5, 8, 1, 6], 4, 5, 16
FIRSTS = np.cumsum([0, *ROWS])
BALANCED = 1 + np.arange(sum(ROWS)) % 3


def whole(num_ranks, uses=None, epoch=2):
    return plan_epoch(ROWS, num_ranks, BATCH, seed=SEED, epoch=epoch, uses=uses)


def images_in(plan, steps=None):
    """The images that the ranks really read, step by step, in the first steps of what is left of a plan."""
    found = []
    for rank in range(len(plan.images)):
        groups = [np.arange(FIRSTS[group], FIRSTS[group + 1]) for group in plan.row_groups[rank]]
        stream = iter([RowGroup(np.zeros((len(r), 1), np.uint8), np.zeros(len(r), np.int32), r) for r in groups])
        batches = assemble_batches(
            with_repeats(stream, plan, rank),
            plan.images[rank],
            plan.num_steps,
            ArrayPool((BATCH, 1), np.uint8),
            BUFFER,
            order_of_rank(SEED, plan.epoch, rank),
        )
        end = None if steps is None else plan.first_step + steps
        found += [batch["row"].tolist() for batch in islice(batches, plan.first_step, end)]
    return Counter(row for batch in found for row in batch if row != PADDING_ROW)


@pytest.mark.parametrize("uses", [None, BALANCED])
@pytest.mark.parametrize("worlds", [(2, 2), (2, 1), (1, 3), (3, 3, 1, 2, 2), (4, 1, 4)])
def test_every_image_is_used_as_often_as_in_an_undisturbed_epoch(worlds, uses):
    parts, seen = [], Counter()
    for number, num_ranks in enumerate(worlds):
        plan = plan_rest(whole(num_ranks, uses), parts, ROWS, SEED, BUFFER)
        assert plan.num_images == sum(whole(1, uses).images)
        seen += images_in(plan, steps=1 if number < len(worlds) - 1 else None)
        if plan.first_step:  # the same ranks go on: it is one part, and longer
            parts.pop()
        parts.append((num_ranks, plan.first_step + 1))
    assert seen == images_in(whole(1, uses))
    assert set(seen) == set(range(sum(ROWS)))


def test_as_many_ranks_take_the_next_step_of_the_same_plan():
    plan = plan_rest(whole(2), [(2, 3)], ROWS, SEED, BUFFER)
    assert (plan, plan.first_step, plan.images_before) == (plan_rest(whole(2), [(2, 3)], ROWS, SEED, BUFFER), 3, 0)
    assert plan.row_groups == whole(2).row_groups
    assert plan.epochs_at(4) == 2 + 4 / plan.num_steps


def test_the_schedule_goes_on_where_other_ranks_have_left_it():
    plan = plan_rest(whole(1), [(2, 3)], ROWS, SEED, BUFFER)
    assert plan.images_before == 2 * 3 * BATCH
    assert plan.epochs_at(0) == pytest.approx(2 + plan.images_before / sum(ROWS))
    assert plan.epochs_at(plan.num_steps) == 3


def test_a_rank_for_which_no_image_is_left_takes_empty_steps():
    plan = plan_rest(whole(4), [(1, 11)], ROWS, SEED, BUFFER)
    assert sum(plan.images) == sum(ROWS) - 44 == 2
    assert 0 in plan.images
    assert sum(images_in(plan).values()) == 2
