from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdcells.data.shard_plan import plan_epoch
from hvdcells.errors import UserError

row_groups = st.lists(st.integers(1, 40), min_size=1, max_size=60)


@given(row_groups, st.integers(1, 12), st.integers(1, 64), st.integers(0, 5))
def test_every_row_group_is_read_by_one_rank_and_every_rank_takes_the_same_steps(rows, num_ranks, batch_size, epoch):
    if num_ranks > len(rows):
        with pytest.raises(UserError, match="--workers"):
            plan_epoch(rows, num_ranks, batch_size, seed=1, epoch=epoch)
        return
    plan = plan_epoch(rows, num_ranks, batch_size, seed=1, epoch=epoch)
    assert sorted(group for rank in plan.row_groups for group in rank) == list(range(len(rows)))
    assert plan.images == tuple(sum(rows[group] for group in rank) for rank in plan.row_groups)
    assert all(plan.row_groups)
    assert all(images <= plan.num_steps * batch_size for images in plan.images)
    assert max(plan.images) > (plan.num_steps - 1) * batch_size
    counted = [plan.images_in_step(step) for step in range(plan.num_steps)]
    assert sum(counted) == sum(rows)
    assert all(0 < count <= batch_size * num_ranks for count in counted)
    assert plan.padding == plan.num_steps * batch_size * num_ranks - sum(rows)


@given(row_groups, st.integers(1, 8))
def test_shares_differ_by_less_than_the_largest_row_group(rows, num_ranks):
    if num_ranks <= len(rows):
        plan = plan_epoch(rows, num_ranks, 8, seed=0)
        assert max(plan.images) - min(plan.images) <= max(rows)


def test_row_groups_are_exchanged_where_that_saves_a_step():
    rows = [22, 22, 22, 25, 25, 24, 28, 28, 27, 27, 31, 31, 30, 29, 29, 30, 26, 24]  # 480 images
    for epoch in range(6):
        plan = plan_epoch(rows, 2, 24, seed=1, epoch=epoch)
        assert (plan.images, plan.num_steps, plan.padding) == ((240, 240), 10, 0)


def test_same_images_for_any_number_of_ranks():
    rows = [32] * 9 + [7]
    per_world = [
        Counter(group for rank in plan_epoch(rows, world, 16, seed=3, epoch=2).row_groups for group in rank)
        for world in (1, 2, 3, 5, 10)
    ]
    assert all(counts == per_world[0] for counts in per_world)


def test_order_changes_with_the_epoch_and_comes_back_with_the_seed():
    rows = [8] * 32
    first, again = plan_epoch(rows, 2, 8, seed=5, epoch=0), plan_epoch(rows, 2, 8, seed=5, epoch=0)
    assert first == again
    assert first != plan_epoch(rows, 2, 8, seed=5, epoch=1)
    assert first != plan_epoch(rows, 2, 8, seed=6, epoch=0)


def test_without_a_seed_the_order_is_kept():
    assert plan_epoch([4, 4, 4], 1, 4).row_groups == ((0, 1, 2),)
