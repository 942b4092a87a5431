"""One row of a source's listing: what is known of an image before it is decoded."""

from typing import NamedTuple

import pyarrow as pa
import xxhash

from hvdcells.data.columns import NO_FOLD

NO_LABEL = -1

LISTED = "listed"
UNLABELLED = "unlabelled"
REJECTED = "rejected"


class ImageRow(NamedTuple):
    """One image of the source. `status` is `listed` (to be decoded), `unlabelled` (left aside) or `rejected`."""

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


_ARROW = {int: pa.int64(), str: pa.string()}
ROW_SCHEMA = pa.schema([pa.field(name, _ARROW[kind]) for name, kind in ImageRow.__annotations__.items()])
ROW_COLUMNS = tuple(ROW_SCHEMA.names)


def to_table(rows: list[ImageRow]) -> pa.Table:
    """Turn rows into an Arrow table of `ROW_SCHEMA`."""
    columns = zip(*rows, strict=True) if rows else [[] for _ in ROW_COLUMNS]
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, ROW_SCHEMA, strict=True)], schema=ROW_SCHEMA
    )


def order_of(source: str, seed: int) -> int:
    """Return the place of an image in the seeded order of all images (64 bits)."""
    return xxhash.xxh3_64_intdigest(source.encode("utf-8", "surrogatepass"), seed=seed & (2**64 - 1))
