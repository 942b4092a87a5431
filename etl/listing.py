"""The listing of a source as rows, on storage in chunks: the driver never holds more than one chunk."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa

from etl import files, shards
from etl.layouts import Layout
from etl.rows import LISTED, REJECTED, ROW_SCHEMA, UNLABELLED, ImageRow, to_table
from hvdcells import storage

CHUNK_ROWS = 50_000
LISTING_SCHEMA = ROW_SCHEMA.append(pa.field("shard", pa.int64()))
LISTING_DDL = ", ".join(
    f"`{field.name}` {'bigint' if field.type == pa.int64() else 'string'}" for field in LISTING_SCHEMA
)


@dataclass(frozen=True)
class ListingCounts:
    """What a first pass over the rows of a source tells."""

    digest: str
    """SHA-256 over paths, sizes, fingerprints and labels."""
    num_images: int
    num_per_status: dict[str, int]
    num_per_class: dict[str, int]
    num_per_official_split: dict[str, int]

    @property
    def num_rejected(self) -> int:
        """Images that cannot be used by what their listing says."""
        return self.num_per_status.get(REJECTED, 0)

    @property
    def num_unlabelled(self) -> int:
        """Images that are left aside."""
        return self.num_per_status.get(UNLABELLED, 0)


def count_rows(layout: Layout) -> ListingCounts:
    """Go through the rows of a source once."""
    digest = hashlib.sha256()
    statuses, classes, splits = Counter(), Counter(), Counter()
    for row in layout.rows():
        digest.update(repr(row).encode("utf-8", "surrogatepass"))
        statuses[row.status] += 1
        if row.status == LISTED:
            classes[row.class_name] += 1
            splits[row.official_split] += 1
    return ListingCounts(digest.hexdigest(), statuses.total(), dict(statuses), dict(classes), dict(splits))


def write_rows(layout: Layout, folder: str, seed: int, num_shards: int, first_shard: int = 0) -> list[str]:
    """Write the rows of a source to `folder`, each with the shard it is to be decoded in; return the files."""
    chunks = []
    rows = layout.rows()
    while chunk := list(islice(rows, CHUNK_ROWS)):
        location = storage.join(folder, f"{len(chunks):05d}.parquet")
        numbers = [first_shard + shards.order_of(row.source, seed) % num_shards for row in chunk]
        files.write_table(location, to_table(chunk).append_column("shard", pa.array(numbers, pa.int64())))
        chunks.append(location)
    return chunks


def as_image_row(values: dict) -> ImageRow:
    """Make an `ImageRow` from a row of the listing."""
    return ImageRow(**{name: values[name] for name in ROW_SCHEMA.names})
