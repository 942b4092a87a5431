"""Second pass over a shard, only where what decoding told moves an image: its files written anew from encoded images.

Nothing is decoded again, but for an image that no file holds: one that was left out and is wanted now.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache

import pyarrow as pa

from etl.images import normalise
from etl.shards.findings import Decoding, read_findings
from etl.shards.parquet import StoredRow, describe_file, row_groups, write_file
from etl.shards.shard import ShardContext, WrittenShard, images_by_part, usable_rows
from hvdcells import storage
from hvdcells.data.stored_images import ImageColumn
from hvdcells.images.decode import read_image
from hvdcells.spark.listener import CountImages
from hvdcells.storage.parquet import ParquetFile, open_copy

ROW_GROUPS_HELD = 16
"""Row groups of earlier files in memory at a time. All files keep the seeded order, so they are read nearly in turn."""


def rewrite_shard(number: int, name: str, context: ShardContext, count: CountImages) -> WrittenShard:
    """Bring the files of a decoded shard in line with the placement; those that are so already are not touched."""
    decoding = context.decoding
    images = context.placed_images(number)
    found = read_findings(decoding.findings(name))
    findings = {finding.source: finding for finding in found.images}
    written = []
    parts, _ = images_by_part(images, context.placement.strategy)
    with encoded_images({*found.written, *context.earlier_files.get(number, ())}, decoding) as encoded:
        for part, members in parts.items():
            groups = [
                rows for group in row_groups(members, context.placement) if (rows := usable_rows(group, findings))
            ]
            if not groups:
                continue
            file = describe_file(number, part, groups, decoding)
            if not storage.exists(storage.join(decoding.dataset, file.path)):
                write_file(number, part, ((rows, encoded.of(rows)) for rows in groups), decoding)
            written.append((part.split, file))
    count(len(images), 0)
    return WrittenShard.of(number, name, images, findings, written, context, found.deep)


@contextmanager
def encoded_images(earlier_files: Iterable[str], decoding: Decoding) -> Iterator["EncodedImages"]:
    """Look into files of the dataset that may hold images of a shard; those that are gone are passed over."""
    with ExitStack() as stack:
        opened = []
        for location in (storage.join(decoding.dataset, name) for name in earlier_files):
            if storage.exists(location):
                opened.append(stack.enter_context(open_copy(location)))
        yield EncodedImages(opened, decoding)


class EncodedImages:
    """Encoded images of one shard; made by `encoded_images`."""

    def __init__(self, opened: Sequence[ParquetFile], decoding: Decoding) -> None:
        """Find out which image is where."""
        self._decoding = decoding
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
        """Return the images of some rows, in their order.

        Raises:
            RuntimeError: an image that no file holds is gone from the source, or has changed there.
        """
        return pa.concat_arrays([self._one(row) for row in rows])

    def _one(self, row: StoredRow) -> pa.Array:
        where = self._where.get((row.source, row.content_hash))
        if where is None:
            return self._decoded(row)
        number, group, index = where
        return self._row_group(number, group).slice(index, 1)

    def _decoded(self, row: StoredRow) -> pa.Array:
        content = read_image(row.source, self._decoding.source)
        if isinstance(content, str):
            raise RuntimeError(f"{row.source} was there when it was listed, and is not now: {content}")
        image = normalise.process(content, *self._decoding.of_an_image)
        if image.content_hash != row.content_hash:
            raise RuntimeError(f"{row.source} has changed since it was listed; run the same command again")
        column = ImageColumn(1, self._decoding.image_size, self._decoding.encoding)
        column.add(image.square)
        return column.take()
