"""An epoch that was begun and not ended: which of its images were used, by however many ranks, and who uses the others.

An epoch that is stopped and goes on with as many ranks takes the next step of the same plan. With another number of
ranks, the images that are left are dealt out anew. So every image of the epoch is used as often as it would have been.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hvdcells.data.shard_plan import EpochPlan, plan_epoch

if TYPE_CHECKING:
    import numpy.typing as npt

Part = tuple[int, int]
"""Ranks that worked on an epoch together, and the steps that each of them took."""


def mixed_order(num_images: int, window: int, rng: np.random.Generator | None) -> "npt.NDArray[np.int64]":
    """Return the order in which to use images that arrive as 0, 1, 2, …; int64 of shape (num_images,).

    Each image is put back by a random distance below `window`, so one never needs to hold more than `window` images.
    """
    if rng is None or window <= 1:
        return np.arange(num_images)
    return np.argsort(np.arange(num_images) + rng.uniform(0, window, num_images))


def order_of_rank(seed: int, epoch: int, rank: int) -> np.random.Generator:
    """Return what mixes a rank's images of an epoch."""
    return np.random.default_rng((seed, epoch, rank))


def plan_rest(
    plan: EpochPlan, parts: Sequence[Part], rows_per_row_group: Sequence[int], seed: int, shuffle_buffer: int
) -> EpochPlan:
    """Return the plan of what is left of an epoch.

    Args:
        plan: of the whole epoch, for the ranks that there are now.
        parts: what was done of it, in order.
        rows_per_row_group: images of every row group of the split.
        seed: of the experiment.
        shuffle_buffer: images over which the order is mixed.

    Raises:
        UserError: fewer row groups than ranks.
    """
    if not parts:
        return plan
    num_ranks, num_images = len(plan.images), plan.num_images
    uses = np.ones(sum(rows_per_row_group), np.int64) if plan.uses is None else np.concatenate(plan.uses)
    firsts = np.cumsum([0, *rows_per_row_group])

    def planned(ranks: int, left: "npt.NDArray[np.int64] | None") -> EpochPlan:
        return plan_epoch(rows_per_row_group, ranks, plan.batch_size, seed=seed, epoch=plan.epoch, uses=left)

    left = None if plan.uses is None else uses  # as the first of the parts was planned
    for number, (ranks, steps) in enumerate(parts):
        of_part = planned(ranks, left)
        if number == len(parts) - 1 and ranks == num_ranks:
            return replace(of_part, first_step=steps, images_before=num_images - int(uses.sum()))
        for rank in range(ranks):
            groups = of_part.row_groups[rank]
            if not groups:
                continue
            rows = np.concatenate([np.arange(firsts[group], firsts[group + 1]) for group in groups])
            arriving = np.repeat(rows, uses[rows])
            order = mixed_order(len(arriving), shuffle_buffer, order_of_rank(seed, plan.epoch, rank))
            np.subtract.at(uses, arriving[order[: steps * plan.batch_size]], 1)
        left = uses
    return replace(planned(num_ranks, uses.copy()), images_before=num_images - int(uses.sum()))
