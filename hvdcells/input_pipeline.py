"""One rank's stream of batches: Petastorm reader → shuffle buffer → `tf.data`.

The stream runs over all epochs without a break, so the next epoch's first images are read while the last
one is being evaluated; the loop takes as many batches per epoch as the epoch's plan has steps.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from hvdcells.dataset import Dataset
from hvdcells.reader import MemoryCache, RowGroup, fits_in_memory, open_reader
from hvdcells.shard_plan import EpochPlan

if TYPE_CHECKING:
    import tensorflow as tf

PADDING_ROW = -1
"""The `row` of an image of weight zero."""
BATCHES_AHEAD = 3
"""Assembled batches that wait for the step."""

Batch = dict[str, np.ndarray]
"""`image` uint8 (batch, size, size, 3), `label` float32 (batch,), `weight` float32 (batch,) 1 or 0 for padding,
`row` int64 (batch,), the image's number in its split or `PADDING_ROW`."""


@contextmanager
def rank_batches(
    dataset: Dataset,
    split: str,
    plans: Sequence[EpochPlan],
    rank: int,
    *,
    input_size: int,
    num_threads: int,
    shuffle_buffer: int = 1,
    seed: int | None = None,
    cache_bytes: int = 0,
) -> Iterator["tf.data.Dataset"]:
    """Open the batches of one rank over all epochs of the plans, as a `tf.data.Dataset` of `Batch`.

    Args:
        dataset: the dataset.
        split: name of the split.
        plans: one plan per epoch, all of one batch size.
        rank: whose share.
        input_size: side of the images, in pixels.
        num_threads: threads that read and decode.
        shuffle_buffer: images from among which the next batch is drawn.
        seed: of the shuffle buffer; None keeps the order of the plan.
        cache_bytes: decoded images are kept in memory if all of the split fits in this.
    """
    import tensorflow as tf

    order = [row_group for plan in plans for row_group in plan.row_groups[rank]]
    cached = fits_in_memory(dataset, split, input_size, cache_bytes)
    batch_size = plans[0].batch_size
    signature = {
        "image": tf.TensorSpec((batch_size, input_size, input_size, 3), tf.uint8),
        "label": tf.TensorSpec((batch_size,), tf.float32),
        "weight": tf.TensorSpec((batch_size,), tf.float32),
        "row": tf.TensorSpec((batch_size,), tf.int64),
    }
    with open_reader(
        dataset,
        split,
        order,
        input_size=input_size,
        num_threads=num_threads,
        cache=MemoryCache() if cached else None,
    ) as row_groups:

        def batches() -> Iterator[Batch]:
            for epoch, plan in enumerate(plans):
                rng = None if seed is None else np.random.default_rng((seed, epoch, rank))
                yield from assemble_batches(
                    row_groups, plan.images[rank], plan.num_steps, batch_size, shuffle_buffer, rng
                )

        yield tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(BATCHES_AHEAD)


def assemble_batches(
    row_groups: Iterable[RowGroup],
    num_images: int,
    num_steps: int,
    batch_size: int,
    shuffle_buffer: int = 1,
    rng: np.random.Generator | None = None,
) -> Iterator[Batch]:
    """Assemble an epoch's batches of one rank from its row groups.

    Takes `num_images` images from `row_groups` (which may go on after them), yields each exactly once and
    fills up to `num_steps` batches with images of weight zero. With `rng`, a batch is drawn from a buffer of
    at least `shuffle_buffer` images (all that are left, near the end); without, the order is kept.
    """
    row_groups = iter(row_groups)
    pool: Batch = {}
    waiting = np.empty(0, np.int64)  # slots of the pool that hold an image, oldest first
    free: list[int] = []
    read = 0
    batch: Batch = {}
    wanted = max(batch_size, shuffle_buffer if rng is not None else 1)
    for _ in range(num_steps):
        while len(waiting) < wanted and read < num_images:
            row_group = next(row_groups)
            count = len(row_group.label)
            if len(free) < count:
                free += _grow(pool, row_group, num_slots=wanted + 2 * count)
            slots = np.array([free.pop() for _ in range(count)])
            # One copy in and one out; the slots are reused, so memory stays at the size of the buffer.
            pool["image"][slots] = row_group.image
            pool["label"][slots] = row_group.label
            pool["row"][slots] = row_group.row
            waiting = np.concatenate([waiting, slots])
            read += count
        taken = min(batch_size, len(waiting))
        positions = np.arange(taken) if rng is None else rng.choice(len(waiting), taken, replace=False)
        slots = waiting[positions]
        waiting = np.delete(waiting, positions)
        batch = _batch_of(pool, slots, batch_size, batch)
        free += slots.tolist()
        yield batch
    if read != num_images or len(waiting):
        raise RuntimeError(f"the plan names {num_images} images, {read} were read and {len(waiting)} are left")


def _grow(pool: Batch, like: RowGroup, num_slots: int) -> list[int]:
    """Enlarge the pool by so many slots and return their numbers."""
    first = len(pool["row"]) if pool else 0
    for name, array in zip(RowGroup._fields, like, strict=True):
        more = np.empty((num_slots, *array.shape[1:]), array.dtype)
        pool[name] = np.concatenate([pool[name], more]) if name in pool else more
    return list(range(first, first + num_slots))


def _batch_of(pool: Batch, slots: np.ndarray, batch_size: int, last: Batch) -> Batch:
    """Gather a batch; where there are too few images, repeat some with weight zero."""
    count = len(slots)
    if count == 0:  # this rank is done while another still has images
        return {**last, "weight": np.zeros(batch_size, np.float32), "row": np.full(batch_size, PADDING_ROW)}
    filled = np.resize(slots, batch_size)
    return {
        "image": pool["image"][filled],
        "label": pool["label"][filled].astype(np.float32),
        "weight": (np.arange(batch_size) < count).astype(np.float32),
        "row": np.where(np.arange(batch_size) < count, pool["row"][filled], PADDING_ROW),
    }
