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
from hvdcells.images.decode import WHOLE_SAMPLE_BITS
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
    largest_deep_value: int = 0
    """Of an image of more than 8 bits; 0 for one of 8."""
    marks: str = ""
    """What is to be known of it, one a line."""

    @property
    def sums(self) -> tuple[int, ...]:
        """Sums of R, G, B and of their squares over the written image."""
        return self[7:13]


FINDINGS_SCHEMA = pa.schema(
    [(name, pa.int64() if kind is int else pa.string()) for name, kind in ImageFinding.__annotations__.items()]
)
_FILES_KEY, _SAMPLE_BITS_KEY = b"hvdcells.files", b"hvdcells.sample_bits"


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
    sample_bits: int | None = None
    """Used of the values of 16-bit files. None: not known yet; what was decoded by any is taken."""

    @property
    def of_an_image(self) -> tuple[int, int, int, int]:
        """What `normalise.process` is told of each image."""
        return self.image_size, self.crop, self.most_pixels, self.sample_bits or WHOLE_SAMPLE_BITS

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


@dataclass(frozen=True)
class ShardFindings:
    """What is kept of a decoded shard."""

    images: list[ImageFinding]
    written: list[str]
    """Paths (below the dataset) of the Parquet files made with them."""
    sample_bits: int
    """By which images of more than 8 bits were brought to 8."""

    @property
    def deep(self) -> tuple[int, int]:
        """Largest value of images of more than 8 bits (0 where there are none), and the bits these were taken for."""
        return max((image.largest_deep_value for image in self.images), default=0), self.sample_bits


def write_findings(location: str, found: ShardFindings) -> None:
    """Write the findings of a shard."""
    kept = {_FILES_KEY: "\n".join(found.written).encode(), _SAMPLE_BITS_KEY: str(found.sample_bits).encode()}
    schema = FINDINGS_SCHEMA.with_metadata(kept)
    columns = zip(*found.images, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    parquet.write_table(location, pa.table(arrays, schema=schema))


def read_findings(location: str) -> ShardFindings:
    """Return what `write_findings` wrote.

    Raises:
        FileNotFoundError: nothing is there.
    """
    table = parquet.read_table(location)
    kept = table.schema.metadata or {}
    written = kept.get(_FILES_KEY, b"").decode().split("\n")
    columns = (column.to_pylist() for column in table.columns)
    images = list(map(ImageFinding._make, zip(*columns, strict=True)))
    return ShardFindings(images, [path for path in written if path], int(kept[_SAMPLE_BITS_KEY]))
