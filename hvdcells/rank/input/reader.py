"""A Petastorm reader that follows a shard plan and yields decoded row groups.

Petastorm's own readers choose row groups by `index % shards` and decode row by row through pandas. Here its
`Reader` and thread pool read exactly the row groups of the plan, in the plan's order, and a worker decodes a
row group straight into one array.

The files are named one by one from the manifest, so Petastorm finds no `_common_metadata` beside them and
never un-pickles the schema stored there: a hostile dataset cannot run code. What the columns hold is checked
against the manifest instead.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache, partial
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pyarrow_hotfix  # noqa: F401 - closes CVE-2023-47248, before any Parquet is read
from petastorm.arrow_reader_worker import ArrowReaderWorker
from petastorm.cache import CacheBase, NullCache
from petastorm.reader import Reader
from petastorm.workers_pool import EmptyResultError

from hvdcells import storage
from hvdcells.data.dataset import Dataset, RowGroupPlace
from hvdcells.rank.input.decoder import RowGroupDecoder
from hvdcells.rank.input.prefetch import OrderedThreadPool

ROW_GROUPS_AHEAD_PER_THREAD = 4
"""Row groups that are read, or wait decoded for the consumer, per reader thread: what bounds the reader's memory.
With two, threads that other processes hold up run dry: 8,100 images/s where four give 9,700."""
OPEN_FILES_PER_THREAD = 64
"""Parquet files a reader thread keeps open."""


class RowGroup(NamedTuple):
    """A decoded row group: `image` uint8 (n, size, size, 3) RGB, `label` int32 (n,), `row` int64 (n,).

    `row` numbers the images of the split in the order of the manifest.
    """

    image: np.ndarray
    label: np.ndarray
    row: np.ndarray


class MemoryCache(CacheBase):
    """Keeps decoded row groups in memory. Used only where all of a split fits, so nothing is ever thrown out."""

    def __init__(self) -> None:
        self._row_groups: dict[int, RowGroup] = {}

    def get(self, key: int, fill_cache_func: Callable[[], RowGroup]) -> RowGroup:
        """Return the row group kept under the key, or make and keep it."""
        if key not in self._row_groups:
            self._row_groups[key] = fill_cache_func()
        return self._row_groups[key]

    def cleanup(self) -> None:
        """Forget everything."""
        self._row_groups.clear()


class _RowGroupWorker(ArrowReaderWorker):
    """Reads and decodes one row group; runs in a thread of Petastorm's pool."""

    @staticmethod
    def new_results_queue_reader() -> "_RowGroups":
        return _RowGroups()

    def process(self, path: str, place: RowGroupPlace, decoder: RowGroupDecoder) -> None:
        load = partial(self._load, path, place, decoder)
        self.publish_func(self._local_cache.get(place.first_row, load))

    def _load(self, path: str, place: RowGroupPlace, decoder: RowGroupDecoder) -> RowGroup:
        table = self._open(path).read_row_group(place.number, columns=["image", "label"], use_threads=False)
        if place.chosen is not None:
            table = table.take(place.chosen)
        images = decoder.decode(table.column("image"), where=f"{path}, row group {place.number}")
        labels = table.column("label").to_numpy().astype(np.int32, copy=False)
        return RowGroup(images, labels, np.arange(place.first_row, place.first_row + len(labels)))

    @cached_property
    def _open(self) -> Callable[[str], pq.ParquetFile]:
        # The footer of a file in use is parsed once per thread; a row group then costs one read per column. Reading
        # ahead, as fsspec does on object stores, would fetch row groups that the plan gives to other ranks.
        return lru_cache(OPEN_FILES_PER_THREAD)(
            lambda path: pq.ParquetFile(self._filesystem.open(path, cache_type="none"))
        )


class _RowGroups:
    """Hands on what the workers made."""

    batched_output = True

    def read_next(self, pool: OrderedThreadPool, *_: object) -> RowGroup:
        try:
            return pool.get_results()
        except EmptyResultError:
            raise StopIteration from None


class _PlannedReader(Reader):
    """Petastorm's reader with the order of row groups given, not drawn."""

    def __init__(self, filesystem: object, paths: list[str], items: list[dict], num_threads: int, cache: CacheBase):
        self._items = items
        super().__init__(
            filesystem,
            paths,
            schema_fields=["image", "label"],
            worker_class=_RowGroupWorker,
            reader_pool=OrderedThreadPool(num_threads, num_ahead=ROW_GROUPS_AHEAD_PER_THREAD * num_threads),
            cache=cache,
            is_batched_reader=True,
        )

    def _create_ventilator(self, *_: object) -> list[dict]:
        return self._items


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
    cache: CacheBase | None = None,
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
        UserError: the Parquet does not hold what the manifest says.
    """
    places, manifest = dataset.row_groups(split), dataset.manifest
    most_rows = max(place.num_rows for place in places)
    decoder = RowGroupDecoder(manifest.image_size, manifest.image_encoding, input_size, most_rows=most_rows)
    filesystem, root = storage.filesystem(dataset.location)
    paths = [storage.join(root, file.path) for file in dataset.split(split).files]
    items = [
        {"path": storage.join(root, places[index].path), "place": places[index], "decoder": decoder} for index in order
    ]
    with warnings.catch_warnings():
        # Petastorm 0.13 uses pyarrow's old dataset classes, which say so at every call, and warns that the field
        # names are matched as a whole, which is meant.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", "schema_fields behavior", UserWarning)
        reader = _PlannedReader(filesystem, paths, items, num_threads, cache or NullCache())
    try:
        yield reader
    finally:
        reader.stop()
        reader.join()
