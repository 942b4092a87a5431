"""Shards: the restartable units of decoding.

A shard is a few hundred images drawn from all over the source. What was learnt about them, its findings, is a small
file in the dataset's `_shards` folder, written after the Parquet files of the shard. A shard whose findings are there
is finished and is not decoded again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import xxhash

from etl.source.rows import ImageRow, order_of
from hvdcells import storage
from hvdcells.data.columns import ImageEncoding
from hvdcells.storage import parquet

SHARDS_FOLDER = "_shards"
FINDINGS_SUFFIX = ".findings.parquet"
MIN_SHARD_IMAGES, MAX_SHARD_IMAGES, USUAL_NUM_SHARDS = 256, 2048, 128


class ImageFinding(NamedTuple):
    """What decoding found out about an image; `reason` is set for one that cannot be used."""

    source: str
    fingerprint: str
    size_bytes: int
    reason: str = ""
    content_hash: str = ""
    """Of the pixels of the source."""
    stored_hash: str = ""
    """Of the pixels as the dataset stores them: two images that share it are the same to whoever trains."""
    perceptual_hash: int = 0
    sum_r: int = 0
    sum_g: int = 0
    sum_b: int = 0
    square_sum_r: int = 0
    square_sum_g: int = 0
    square_sum_b: int = 0

    @property
    def sums(self) -> tuple[int, ...]:
        """Sums of R, G, B and of their squares over the written image."""
        return self[-6:]


FINDINGS_SCHEMA = pa.schema(
    [(name, pa.int64() if kind is int else pa.string()) for name, kind in ImageFinding.__annotations__.items()]
)
_FILES_KEY = b"hvdcells.files"


@dataclass(frozen=True)
class Decoding:
    """What a task must know to decode a shard."""

    source: str
    dataset: str
    image_size: int
    crop: int
    encoding: ImageEncoding
    most_pixels: int
    seed: int
    options_digest: str

    def findings(self, shard_name: str) -> str:
        """Location of the findings of a shard of this name."""
        return storage.join(self.dataset, SHARDS_FOLDER, findings_name(shard_name))

    def sorted(self, rows: Iterable[ImageRow]) -> list[ImageRow]:
        """Return images in the seeded order of all images."""
        return sorted(rows, key=lambda row: (order_of(row.source, self.seed), row.source))

    def shard_name(self, number: int, rows: Sequence[ImageRow]) -> str:
        """Return the name of a shard: its number, and a digest of what its findings depend on."""
        key = xxhash.xxh3_64(self.options_digest.encode())
        for row in rows:
            key.update(f"{row.source}\0{row.size_bytes}\0{row.fingerprint}\0".encode("utf-8", "surrogatepass"))
        return f"{number:05d}-{key.hexdigest()}"


def num_shards_for(num_images: int) -> int:
    """Return into how many shards a source is cut: a function of its size alone, so that any cluster cuts it alike."""
    shard_images = min(MAX_SHARD_IMAGES, max(MIN_SHARD_IMAGES, -(-num_images // USUAL_NUM_SHARDS)))
    return max(1, -(-num_images // shard_images))


def number_of(shard_name: str) -> int:
    """Return the number of a shard of this name."""
    return int(shard_name.split("-", 1)[0])


def findings_name(shard_name: str) -> str:
    """File name of what was learnt about the images of a shard."""
    return f"{shard_name}{FINDINGS_SUFFIX}"


def write_findings(location: str, findings: Sequence[ImageFinding], written: Sequence[str]) -> None:
    """Write the findings of a shard, and the paths (below the dataset) of the Parquet files made with them."""
    schema = FINDINGS_SCHEMA.with_metadata({_FILES_KEY: "\n".join(written).encode()})
    columns = zip(*findings, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    parquet.write_table(location, pa.table(arrays, schema=schema))


def read_findings(location: str) -> tuple[list[ImageFinding], list[str]]:
    """Return what `write_findings` wrote.

    Raises:
        FileNotFoundError: nothing is there.
    """
    table = parquet.read_table(location)
    written = (table.schema.metadata or {}).get(_FILES_KEY, b"").decode().split("\n")
    columns = (column.to_pylist() for column in table.columns)
    return list(map(ImageFinding._make, zip(*columns, strict=True))), [path for path in written if path]
