"""The rows of a source's listing: what is known of an image before it is decoded, and the files that hold them."""

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
import xxhash

from hvdcells import storage
from hvdcells.data.columns import NO_FOLD

NO_LABEL = -1

LISTED = "listed"
UNLABELLED = "unlabelled"
LEFT_ASIDE = "left aside"
REJECTED = "rejected"

PATTERN_FINDS_NONE = "--subject-pattern finds no subject in its path"
FILE_NOT_FOUND = "file not found"
"""Reasons for which a whole source may be lost."""


class ImageRow(NamedTuple):
    """One image of the source. `status` is `listed` (to be decoded), `unlabelled`, `left aside` or `rejected`."""

    source: str
    size_bytes: int
    fingerprint: str
    label: int = NO_LABEL
    class_name: str = ""
    subject: str = ""
    """Empty where the source names none."""
    image_id: str = ""
    cell: str = ""
    fold: int = NO_FOLD
    official_split: str = ""
    status: str = LISTED
    reason: str = ""
    path: str = ""
    """Where the image is read from, if `source` is a pseudonym; empty where it is `source`."""

    @property
    def where(self) -> str:
        """Where the image is read from: below the source, absolute, or an address."""
        return self.path or self.source

    def text(self) -> bytes:
        """Return all that is known of the image and goes into a dataset, to be digested."""
        return "\0".join(map(str, self[:-1])).encode("utf-8", "surrogatepass")


class Kind(NamedTuple):
    """What a listing says of images, as far as their place in the dataset depends on it."""

    subject: str
    label: int
    official_split: str
    fold: int

    @classmethod
    def of(cls, row: ImageRow) -> "Kind":
        """Return the kind of an image."""
        return cls(row.subject, row.label, row.official_split, row.fold)


_ARROW = {int: pa.int64(), str: pa.string()}
ROW_SCHEMA = pa.schema([pa.field(name, _ARROW[kind]) for name, kind in ImageRow.__annotations__.items()])
ROW_COLUMNS = tuple(ROW_SCHEMA.names)


def to_table(rows: Sequence[ImageRow]) -> pa.Table:
    """Turn rows into an Arrow table of `ROW_SCHEMA`."""
    columns = zip(*rows, strict=True) if rows else [[] for _ in ROW_COLUMNS]
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, ROW_SCHEMA, strict=True)], schema=ROW_SCHEMA
    )


def order_of(source: str, seed: int) -> int:
    """Return the place of an image in the seeded order of all images (64 bits)."""
    return xxhash.xxh3_64_intdigest(source.encode("utf-8", "surrogatepass"), seed=seed & (2**64 - 1))


def rows_file_name(number: int) -> str:
    """File name of a shard's part of the listing."""
    return f"{number:05d}.arrows"


def append_rows(path: str, rows: pa.Table) -> None:
    """Append rows to a shard's part of the listing, on this machine's disk."""
    with open(path, "ab") as sink, pa.ipc.new_stream(sink, ROW_SCHEMA) as writer:  # noqa: PTH123
        writer.write_table(rows)


def read_rows(location: str) -> list[ImageRow]:
    """Read a shard's part of the listing."""
    rows: list[ImageRow] = []
    with storage.local_copy(location) as path, pa.memory_map(path) as source:
        while source.tell() < source.size():
            with pa.ipc.open_stream(source) as reader:
                table = reader.read_all()
            rows += map(ImageRow._make, zip(*(column.to_pylist() for column in table.columns), strict=True))
    return rows
