"""The shard plan: which rank reads which row groups in which order. Integers in, integers out.

Every row group is read by exactly one rank an epoch, and every image of it is used exactly once, or as often as the
plan is told, for any number of ranks. Ranks whose share is smaller fill their last batches with images of weight zero
(`padding`), so that all ranks take the same number of steps and no allreduce waits for a rank that is done.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from hvdcells.errors import UserError

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True)
class EpochPlan:
    """One epoch over all ranks; `row_groups[rank]` are indices of row groups in reading order."""

    row_groups: tuple[tuple[int, ...], ...]
    images: tuple[int, ...]
    """Images of each rank."""
    batch_size: int
    """Images a rank takes per step."""
    epoch: int = 0
    """Counted from 0; with the seed, it names the order of everything in the epoch."""
    uses: "tuple[npt.NDArray[np.int64], ...] | None" = field(default=None, compare=False)
    """By row group, how often each of its images is used; None for once each. `images` counts all uses."""
    first_step: int = 0
    """Steps of this plan that were taken before the run was stopped within the epoch."""
    images_before: int = 0
    """Images of the epoch that other numbers of ranks have used, by plans of their own, before this one."""

    @property
    def num_steps(self) -> int:
        """Steps of every rank."""
        return -(-max(self.images) // self.batch_size)

    @property
    def padding(self) -> int:
        """Images of weight zero over all ranks: slots of the plan that hold no image of its own."""
        return self.num_steps * self.batch_size * len(self.images) - sum(self.images)

    @property
    def num_images(self) -> int:
        """Images of the whole epoch over all ranks."""
        return self.images_before + sum(self.images)

    def epochs_at(self, step: int) -> float:
        """Return how many epochs the run has done after so many steps of this plan."""
        before = self.images_before / self.num_images
        return self.epoch + before + (1 - before) * (step / self.num_steps)

    def images_in_step(self, step: int) -> int:
        """Images of weight one in a step over all ranks: what the summed loss is divided by."""
        first = step * self.batch_size
        return sum(min(self.batch_size, max(0, images - first)) for images in self.images)


def plan_epoch(
    rows_per_row_group: Sequence[int],
    num_ranks: int,
    batch_size: int,
    *,
    seed: int | None = None,
    epoch: int = 0,
    uses: "npt.NDArray[np.int64] | None" = None,
) -> EpochPlan:
    """Deal the row groups out to the ranks.

    Args:
        rows_per_row_group: images of every row group of the split.
        num_ranks: world size.
        batch_size: images a rank takes per step.
        seed: shuffles the row groups anew each epoch; None keeps their order.
        epoch: which epoch, from 0.
        uses: how often each image of the split is used; None for once each. A row group of which no image is used
            is read by nobody.

    Raises:
        UserError: fewer row groups than ranks.
    """
    check_enough_row_groups(len(rows_per_row_group), num_ranks)
    of_row_groups = None
    if uses is not None:
        of_row_groups = tuple(np.split(uses, np.cumsum(rows_per_row_group)[:-1]))
        rows_per_row_group = [int(each.sum()) for each in of_row_groups]
    order = np.arange(len(rows_per_row_group))
    if seed is not None:
        np.random.default_rng((seed, epoch)).shuffle(order)
    # Each row group goes to the rank with the fewest images so far: the shares differ by less than one row group.
    row_groups: list[list[int]] = [[] for _ in range(num_ranks)]
    images = [0] * num_ranks
    for row_group in order.tolist():
        if not rows_per_row_group[row_group]:
            continue
        rank = images.index(min(images))
        row_groups[rank].append(row_group)
        images[rank] += rows_per_row_group[row_group]
    _even_out(row_groups, images, rows_per_row_group, batch_size)
    if seed is None:
        row_groups = [sorted(of_rank) for of_rank in row_groups]
    return EpochPlan(tuple(map(tuple, row_groups)), tuple(images), batch_size, epoch, of_row_groups)


def _even_out(row_groups: list[list[int]], images: list[int], rows: Sequence[int], batch_size: int) -> None:
    """Exchange row groups of different sizes between ranks, in place, while that may save all of them a step.

    The ranks take as many steps as the fullest: where 1,000 images are 506 and 494, two ranks take 21 steps of 25.
    """
    fewest_steps = -(-sum(images) // (batch_size * len(images)))
    while max(images) > fewest_steps * batch_size:
        fullest = images.index(max(images))
        others = sorted(range(len(images)), key=images.__getitem__)
        if not any(_exchange(row_groups, images, rows, fullest, other) for other in others):
            return


def _exchange(row_groups: list[list[int]], images: list[int], rows: Sequence[int], fuller: int, other: int) -> bool:
    """Exchange the two row groups that bring two ranks closest to each other; False if none does."""
    gap = images[fuller] - images[other]
    # Row groups have few sizes: one of each is enough to look at.
    larger = {rows[row_group]: place for place, row_group in enumerate(row_groups[fuller])}
    smaller = {rows[row_group]: place for place, row_group in enumerate(row_groups[other])}
    pairs = [(more, less) for more in larger for less in smaller if 0 < more - less < gap]
    if not pairs:
        return False
    more, less = min(pairs, key=lambda pair: abs(gap - 2 * (pair[0] - pair[1])))
    here, there = larger[more], smaller[less]
    row_groups[fuller][here], row_groups[other][there] = row_groups[other][there], row_groups[fuller][here]
    images[fuller] -= more - less
    images[other] += more - less
    return True


def check_enough_row_groups(num_row_groups: int, num_ranks: int) -> None:
    """Refuse a world that is larger than the number of row groups.

    Raises:
        UserError: some rank would have nothing to read.
    """
    if num_ranks > num_row_groups:
        raise UserError(
            f"{num_ranks} workers for a split of {num_row_groups} row groups",
            "at least one row group for each worker",
            f"use --workers {num_row_groups} or fewer, or write the dataset again with smaller row groups "
            "(`hvdcells etl --row-group-rows`)",
        )
