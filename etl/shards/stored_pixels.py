"""Images that were encoded before: from Parquet files that hold them, else decoded again."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache

import pyarrow as pa

from etl.images import decode, read
from etl.shards.findings import Decoding
from etl.shards.parquet import StoredRow
from hvdcells import storage
from hvdcells.data.stored_images import ImageColumn
from hvdcells.storage.parquet import ParquetFile, open_copy

ROW_GROUPS_HELD = 16
"""Row groups of earlier files in memory at a time. All files keep the seeded order, so they are read nearly in turn."""


@contextmanager
def known_pixels(earlier_files: Iterable[str], how: Decoding) -> Iterator["KnownPixels"]:
    """Look into files of the dataset that may hold images of a shard; those that are gone are passed over."""
    with ExitStack() as stack:
        opened = []
        for location in (storage.join(how.dataset, name) for name in earlier_files):
            if storage.exists(location):
                opened.append(stack.enter_context(open_copy(location)))
        yield KnownPixels(opened, how)


class KnownPixels:
    """Encoded images of one shard; made by `known_pixels`."""

    def __init__(self, opened: Sequence[ParquetFile], how: Decoding) -> None:
        """Find out which image is where."""
        self._how = how
        self._opened = opened
        self._where: dict[tuple[str, str], tuple[int, int, int]] = {}
        for number, file in enumerate(opened):
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=["source", "content_hash"])
                keys = zip(table["source"].to_pylist(), table["content_hash"].to_pylist(), strict=True)
                self._where.update({key: (number, group, index) for index, key in enumerate(keys)})
        self._row_group = lru_cache(ROW_GROUPS_HELD)(self._read)

    def _read(self, number: int, group: int) -> pa.Array:
        return self._opened[number].read_row_group(group, columns=["image"])["image"].combine_chunks()

    def of(self, rows: Sequence[StoredRow]) -> pa.Array:
        """Return the images of some rows, in their order."""
        return pa.concat_arrays([self._one(row) for row in rows])

    def _one(self, row: StoredRow) -> pa.Array:
        where = self._where.get((row.source, row.content_hash))
        if where is None:
            return self._decoded(row)
        number, group, index = where
        return self._row_group(number, group).slice(index, 1)

    def _decoded(self, row: StoredRow) -> pa.Array:
        content = read.read_image(row.source, self._how.source)
        if isinstance(content, str):
            raise RuntimeError(f"{row.source} was there when it was listed, and is not now: {content}")
        done = decode.process(content, self._how.image_size, self._how.crop)
        if done.content_hash != row.content_hash:
            raise RuntimeError(f"{row.source} has changed since it was listed; run the same command again")
        column = ImageColumn(1, self._how.image_size, self._how.encoding)
        column.add(done.square)
        return column.take()
