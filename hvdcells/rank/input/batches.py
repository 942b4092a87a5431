"""One rank's stream of batches: reader → shuffle buffer → `tf.data`.

The stream runs over all epochs without a break, so the next epoch's first images are read while the last
one is being evaluated; the loop takes as many batches per epoch as the epoch's plan has steps.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hvdcells.data.begun_epoch import mixed_order, order_of_rank
from hvdcells.data.dataset import Dataset
from hvdcells.data.shard_plan import EpochPlan
from hvdcells.errors import UserError
from hvdcells.rank.input.buffers import ArrayPool
from hvdcells.rank.input.reader import MemoryCache, RowGroup, fits_in_memory, open_reader

if TYPE_CHECKING:
    import tensorflow as tf

PADDING_ROW = -1
"""The `row` of an image of weight zero."""
BATCHES_AHEAD = 8
"""Assembled batches that wait for the step."""
BATCHES_ON_DEVICE = 2
"""Of these, those that are copied to a GPU while a step runs on the one before them."""

Batch = dict[str, NDArray[Any]]
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
    device: str | None = None,
) -> Iterator["tf.data.Dataset"]:
    """Open the batches of one rank over all epochs of the plans, as a `tf.data.Dataset` of `Batch`.

    Args:
        dataset: the dataset.
        split: name of the split.
        plans: one plan per epoch, all of one batch size; they may begin in the middle of a run, and of an epoch.
        rank: whose share.
        input_size: side of the images, in pixels.
        num_threads: threads that read and decode.
        shuffle_buffer: images over which the order of the row groups' images is mixed.
        seed: of the shuffle buffer; None keeps the order of the plan.
        cache_bytes: decoded images are kept in memory if all of the split fits in this.
        device: name of TensorFlow's device on which batches wait, `BATCHES_ON_DEVICE` of them; None for the host.

    Raises:
        UserError: the Parquet does not hold what the manifest says. TensorFlow hands on only the text of an error
            met while reading; the error itself is raised here, in the body of the `with`.
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
        arrays = ArrayPool((batch_size, input_size, input_size, 3), np.uint8)

        def batches() -> Iterator[Batch]:
            for plan in plans:
                rng = None if seed is None else order_of_rank(seed, plan.epoch, rank)
                used = with_repeats(row_groups, plan, rank)
                all_steps = assemble_batches(used, plan.images[rank], plan.num_steps, arrays, shuffle_buffer, rng)
                yield from islice(all_steps, plan.first_step, None)

        stream, problems = batches(), []

        def next_batch() -> list[NDArray[Any]]:
            try:
                batch = next(stream)
            except UserError as error:
                problems.append(error)
                raise
            return [batch[name] for name in signature]

        @tf.autograph.experimental.do_not_convert
        def batch_tensors(_: tf.Tensor) -> dict[str, tf.Tensor]:
            # One call of Python per batch: `from_generator` makes three, and checks what is known to be right.
            tensors = tf.numpy_function(next_batch, [], [spec.dtype for spec in signature.values()])
            return {
                name: tf.ensure_shape(tensor, spec.shape)
                for (name, spec), tensor in zip(signature.items(), tensors, strict=True)
            }

        num_batches = sum(plan.num_steps - plan.first_step for plan in plans)
        options = tf.data.Options()
        # There is nothing to tune, and the thread that would tune holds up the end of its rank until its next turn:
        # 7 s for each of two streams after 25 s of training (TensorFlow 2.18.1).
        options.autotune.enabled = False
        batches_ahead = tf.data.Dataset.range(num_batches).map(batch_tensors).prefetch(BATCHES_AHEAD)
        batches_ahead = batches_ahead.with_options(options)
        if device is not None:  # must come last
            on_device = tf.data.experimental.prefetch_to_device(device, BATCHES_ON_DEVICE)
            batches_ahead = batches_ahead.apply(on_device)
        try:
            yield batches_ahead
        except tf.errors.OpError:
            if problems:
                raise problems[0] from None
            raise
        finally:
            # TensorFlow keeps `next_batch` as long as the process lives; the images it reads from need not stay.
            stream = iter(())


def with_repeats(row_groups: Iterator[RowGroup], plan: EpochPlan, rank: int) -> Iterator[RowGroup]:
    """Yield the row groups of a rank's epoch, each with its images as often as the plan uses them."""
    for index in plan.row_groups[rank]:
        row_group = next(row_groups, None)
        if row_group is None:
            return
        if plan.uses is None:
            yield row_group
        else:
            which = np.repeat(np.arange(len(row_group.label)), plan.uses[index])
            yield RowGroup(row_group.image[which], row_group.label[which], row_group.row[which])


def assemble_batches(
    row_groups: Iterable[RowGroup],
    num_images: int,
    num_steps: int,
    arrays: ArrayPool,
    shuffle_buffer: int = 1,
    rng: np.random.Generator | None = None,
) -> Iterator[Batch]:
    """Assemble an epoch's batches of one rank from its row groups.

    Takes `num_images` images from `row_groups` (which may go on after them), yields each exactly once and
    fills up to `num_steps` batches with images of weight zero. With `rng`, the images are mixed over
    `shuffle_buffer` neighbours; without, the order is kept.

    Batches lie in arrays of the pool, whose first dimension is the batch size. Where every image will go is known
    beforehand, so it is copied once, from its row group into its batch; batches begun and not complete hold about
    `shuffle_buffer` images.

    Raises:
        RuntimeError: the row groups do not hold the images that were planned.
    """
    batch_size = arrays.shape[0]
    if num_images > num_steps * batch_size:
        raise RuntimeError(f"{num_images} images do not fit in {num_steps} steps of {batch_size}")
    order = mixed_order(num_images, shuffle_buffer if rng is not None else 1, rng)
    places = np.empty(num_images, np.int64)
    places[order] = np.arange(num_images)
    labels, rows = np.empty(num_images, np.float32), np.empty(num_images, np.int64)
    begun: dict[int, NDArray[Any]] = {}  # images of batches by the number of the batch
    row_groups, read = iter(row_groups), 0
    # Of a rank that has no image at all, as in what is left of an epoch.
    batch: Batch = {} if num_images else {"image": arrays.take() * 0, "label": np.zeros(batch_size, np.float32)}
    for step in range(num_steps):
        first, end = step * batch_size, min((step + 1) * batch_size, num_images)
        if first >= num_images:  # this rank is done while another still has images
            yield {**batch, "weight": np.zeros(batch_size, np.float32), "row": np.full(batch_size, PADDING_ROW)}
            continue
        while read <= order[first:end].max():
            row_group = next(row_groups, None)
            count = 0 if row_group is None else len(row_group.label)
            if row_group is None or read + count > num_images:
                raise RuntimeError(f"the plan names {num_images} images; the row groups hold {read} or {read + count}")
            targets = places[read : read + count]
            labels[targets], rows[targets] = row_group.label, row_group.row
            for place, image in zip(targets.tolist(), row_group.image, strict=True):
                number, slot = divmod(place, batch_size)
                if number not in begun:
                    begun[number] = arrays.take()
                begun[number][slot] = image
            read += count
        images = begun.pop(step)
        # The last batch may be short: some of its images are repeated with weight zero.
        repeated = first + np.arange(batch_size) % (end - first)
        images[end - first :] = images[repeated[end - first :] - first]
        weights = np.arange(batch_size) < end - first
        batch = {
            "image": images,
            "label": labels[repeated],
            "weight": weights.astype(np.float32),
            "row": np.where(weights, rows[repeated], PADDING_ROW),
        }
        yield batch
