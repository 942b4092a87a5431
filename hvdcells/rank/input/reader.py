"""Reads the row groups of a shard plan, in the plan's order, each decoded into one array.

Threads read ahead. Each keeps the files that it reads from open, their footers parsed, so a row group costs one read
per column.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hvdcells import storage
from hvdcells.data.dataset import Dataset, RowGroupPlace
from hvdcells.data.parquet import open_parquet, read_images, refuse_changed_images
from hvdcells.rank.input.decoder import RowGroupDecoder
from hvdcells.rank.input.prefetch import OrderedPrefetch
from hvdcells.storage.parquet import ParquetFile

ROW_GROUPS_AHEAD_PER_THREAD = 4
"""Row groups that are read, or wait decoded for the consumer, per reader thread: what bounds the reader's memory.
With two, threads that other processes hold up run dry: 8,100 images/s where four give 9,700."""
OPEN_FILES_PER_THREAD = 64
"""Parquet files a reader thread keeps open."""


class RowGroup(NamedTuple):
    """A decoded row group: `image` uint8 (n, size, size, 3) RGB, `label` int32 (n,), `row` int64 (n,).

    `row` numbers the images of the split in the order of the manifest.
    """

    image: NDArray[np.uint8]
    label: NDArray[np.int32]
    row: NDArray[np.int64]


class MemoryCache:
    """Keeps decoded row groups in memory. Used only where all of a split fits, so nothing is ever thrown out."""

    def __init__(self) -> None:
        self._row_groups: dict[int, RowGroup] = {}

    def get(self, first_row: int, load: Callable[[], RowGroup]) -> RowGroup:
        """Return the row group that begins with this row of the split; it is loaded the first time."""
        if first_row not in self._row_groups:
            self._row_groups[first_row] = load()
        return self._row_groups[first_row]


class _OpenFiles(threading.local):
    """The Parquet files of a split that a thread has open; they close when it ends."""

    def __init__(self, dataset: Dataset, split: str) -> None:
        files = {file.path: file for file in dataset.split(split).files}
        self.get: Callable[[str], ParquetFile] = lru_cache(OPEN_FILES_PER_THREAD)(
            lambda path: open_parquet(dataset.location, files[path])
        )


def fits_in_memory(dataset: Dataset, split: str, input_size: int, bound_bytes: int) -> bool:
    """Whether all decoded images of a split fit in the bound."""
    return dataset.split(split).images * input_size * input_size * 3 <= bound_bytes


@contextmanager
def open_reader(
    dataset: Dataset,
    split: str,
    order: Sequence[int],
    *,
    input_size: int,
    num_threads: int,
    cache: MemoryCache | None = None,
) -> Iterator[Iterator[RowGroup]]:
    """Read row groups of a split in the given order.

    Args:
        dataset: the dataset.
        split: name of the split.
        order: indices of row groups, counted over the split in the order of the manifest; may repeat.
        input_size: images are resized to this side when the dataset stores another.
        num_threads: threads that read and decode.
        cache: where decoded row groups are kept between readers.

    Yields:
        The decoded row groups, in order.

    Raises:
        UserError: the Parquet does not hold what the manifest says, or not what was written.
    """
    places, manifest = dataset.row_groups(split), dataset.manifest
    most_rows = max(place.num_rows for place in places)
    decoder = RowGroupDecoder(manifest.image_size, manifest.image_encoding, input_size, most_rows=most_rows)
    files = _OpenFiles(dataset, split)
    as_written: set[int] = set()
    """First rows of the row groups whose checksum was found right, the first time they were read."""

    def load(place: RowGroupPlace) -> RowGroup:
        where = f"{storage.join(dataset.location, place.path)}, row group {place.number}"
        column, labels = read_images(files.get(place.path), place.number, manifest, where)
        chosen = slice(None) if place.chosen is None else place.chosen
        if place.first_row in as_written or not place.checksum:
            if place.chosen is not None:
                column = column.take(place.chosen)
            images = decoder.decode_stored(column, where)
        else:
            whole = decoder.decode_stored(column, where)
            refuse_changed_images(whole, labels, place.checksum, where)
            as_written.add(place.first_row)
            images = whole[chosen]
        rows = np.arange(place.first_row, place.first_row + place.num_rows)
        return RowGroup(decoder.resize(images), labels[chosen], rows)

    def get(place: RowGroupPlace) -> RowGroup:
        return load(place) if cache is None else cache.get(place.first_row, partial(load, place))

    with OrderedPrefetch(
        get,
        (places[index] for index in order),
        num_threads=num_threads,
        num_ahead=ROW_GROUPS_AHEAD_PER_THREAD * num_threads,
    ) as row_groups:
        yield row_groups
