"""The Parquet files of a shard, one per part: which rows, in which row groups, under which name.

All of it follows from the listing, the findings and the placement, by whatever way a run came to its end. A file's name
holds a digest of all that is in it, so a file that exists was written whole; its checksums tell whether it still is.
"""

from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from typing import Any, NamedTuple

import pyarrow as pa
import xxhash

from etl.placement.place import Place, Placement
from etl.shards.findings import Decoding, ImageFinding
from etl.source.rows import ImageRow
from hvdcells import storage
from hvdcells.data.checksums import column_checksum, row_group_checksum
from hvdcells.data.columns import NO_FOLD, ImageEncoding, arrow_schema
from hvdcells.data.manifest import IMAGES_FOLDER, ParquetFile
from hvdcells.storage.parquet import ParquetWriter


class Part(NamedTuple):
    """What images of a shard share a file: those of a split, for k-fold those of a fold of it.

    So cross-validation can leave a fold out without reading it.
    """

    split: str
    fold: int = NO_FOLD


class PlacedImage(NamedTuple):
    """An image and where it goes."""

    row: ImageRow
    place: Place


class StoredRow(NamedTuple):
    """A row of the dataset, all but its image, in the order of its columns, and the hash of its image."""

    label: int
    class_name: str
    subject: str
    image_id: str
    cell: str
    source: str
    content_hash: str
    group: str
    fold: int
    stored_hash: str
    """The last, and no column: it stands for the image in checksums."""

    @classmethod
    def of(cls, image: PlacedImage, finding: ImageFinding) -> "StoredRow":
        """Return the row of a usable image."""
        row, place = image
        known = (row.label, row.class_name, row.subject, row.image_id, row.cell, row.source)
        return cls(*known, finding.content_hash, place.group, place.fold, finding.stored_hash)


COLUMNS = StoredRow._fields[:-1]


def row_groups(members: Sequence[PlacedImage], placement: Placement) -> list[list[PlacedImage]]:
    """Cut the images of a part, in their order, into row groups as equal as can be.

    Images that turn out unusable later leave their row group smaller: where it begins does not depend on them.
    """
    most = placement.rows_per_row_group[members[0].place.split]
    num_groups = -(-len(members) // most)
    smallest, num_larger = divmod(len(members), num_groups)
    starts = [index * smallest + min(index, num_larger) for index in range(num_groups + 1)]
    return [list(members[start:stop]) for start, stop in pairwise(starts)]


def describe_file(shard: int, part: Part, groups: Sequence[Sequence[StoredRow]], decoding: Decoding) -> ParquetFile:
    """Return name, row groups and checksums of the file that holds these rows."""
    sizes = tuple(map(len, groups))
    digest = xxhash.xxh3_64(f"{decoding.options_digest}{sizes}".encode())
    for group in groups:
        for row in group:
            digest.update("\0".join(map(str, row)).encode("utf-8", "surrogatepass"))
    return ParquetFile(
        path=f"{IMAGES_FOLDER}/split={part.split}/part-{shard:05d}-{digest.hexdigest()}.parquet",
        rows_per_row_group=sizes,
        fold=part.fold,
        row_group_checksums=tuple(
            row_group_checksum((row.stored_hash for row in group), (row.label for row in group)) for group in groups
        ),
        column_checksums=dict(zip(COLUMNS, map(column_checksum, _columns([*chain(*groups)])), strict=True)),
    )


def _columns(rows: Sequence[StoredRow]) -> list[tuple[Any, ...]]:
    """Return the values of each of `COLUMNS`."""
    return list(zip(*rows, strict=True))[:-1]


def write_file(
    shard: int,
    part: Part,
    groups: Iterable[tuple[Sequence[StoredRow], pa.Array]],
    decoding: Decoding,
) -> ParquetFile | None:
    """Write row groups as they come, each with its images; the file gets its name when all of them are there.

    Returns:
        The file; None where there are no rows.
    """
    schema = arrow_schema()
    columns = [schema.field(name) for name in COLUMNS]
    written = []
    with storage.unnamed_file(storage.join(decoding.dataset, IMAGES_FOLDER, f"split={part.split}")) as aside:
        with _parquet_writer(aside.path, schema, decoding.encoding) as writer:
            for rows, images in groups:
                arrays = [pa.array(column, field.type) for column, field in zip(_columns(rows), columns, strict=True)]
                writer.write_table(pa.table([images, *arrays], schema=schema), row_group_size=len(rows))
                written.append(rows)
        if not written:
            return None
        file = describe_file(shard, part, written, decoding)
        aside.location = storage.join(decoding.dataset, file.path)
    return file


def _parquet_writer(path: str, schema: pa.Schema, encoding: ImageEncoding) -> ParquetWriter:
    text = [name for name in schema.names if name != "image"]
    packed = schema.names if encoding == "raw" else text
    return ParquetWriter(
        path,
        schema,
        compression={name: "zstd" if name in packed else "none" for name in schema.names},
        compression_level=dict.fromkeys(packed, 1),
        use_dictionary=text,
        write_statistics=text,
    )
