"""Shards: the restartable units of decoding.

A shard is a few hundred images drawn from all over the source. Its result is two files in the dataset's
`_shards` folder: the pixels (an Arrow file, uncompressed: it is read once, soon) and, written after them, what
was learnt about each image. A shard whose second file is there is finished and is not decoded again.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import pyarrow as pa
import xxhash

from etl import decoding, files, retries
from etl.frames import read_files
from etl.rows import ImageRow
from hvdcells import storage
from hvdcells.schema import ImageEncoding

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SHARDS_FOLDER = "_shards"
MIN_SHARD_IMAGES, MAX_SHARD_IMAGES, USUAL_NUM_SHARDS = 256, 2048, 128
_REMOTE_READS = 16
_REASONS = {
    FileNotFoundError: "file not found",
    IsADirectoryError: "a folder, not a file",
    PermissionError: "no permission to read it",
}
_BATCH_ROWS = 32

FINDINGS_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("fingerprint", pa.string()),
        ("size_bytes", pa.int64()),
        ("shard", pa.int32()),
        ("staged", pa.string()),
        ("position", pa.int32()),
        ("reason", pa.string()),
        ("content_hash", pa.string()),
        ("perceptual_hash", pa.int64()),
        *((f"sum_{channel}", pa.int64()) for channel in "rgb"),
        *((f"square_sum_{channel}", pa.int64()) for channel in "rgb"),
    ]
)
"""What decoding found. `position` is the row in the pixels file, −1 for a rejected image, whose `reason` is set."""
FINDINGS_DDL = ", ".join(
    f"{field.name} { {pa.string(): 'string', pa.int32(): 'int', pa.int64(): 'bigint'}[field.type] }"
    for field in FINDINGS_SCHEMA
)
_PIXELS_SCHEMA = pa.schema([("image", pa.binary())])


@dataclass(frozen=True)
class Decoding:
    """What a task must know to decode a shard."""

    source: str
    dataset: str
    image_size: int
    crop: int
    encoding: ImageEncoding
    seed: int
    options_digest: str

    def location(self, name: str) -> str:
        """Location of a file of the shards folder."""
        return storage.join(self.dataset, SHARDS_FOLDER, name)


def num_shards_for(num_images: int) -> int:
    """Return into how many shards a source is cut: a function of its size alone, so that any cluster cuts it alike."""
    shard_images = min(MAX_SHARD_IMAGES, max(MIN_SHARD_IMAGES, -(-num_images // USUAL_NUM_SHARDS)))
    return max(1, -(-num_images // shard_images))


def order_of(source: str, seed: int) -> int:
    """Return the place of an image in the seeded order of all images (64 bits)."""
    return xxhash.xxh3_64_intdigest(source.encode("utf-8", "surrogatepass"), seed=seed & (2**64 - 1))


def first_free(staged: Iterable[str]) -> int:
    """Return the first number that no shard of these names has."""
    return max((int(name.split("-", 1)[0]) + 1 for name in staged), default=0)


def read_findings(spark: "SparkSession", staged: Iterable[str], decoding_: "Decoding") -> "DataFrame":
    """Return what decoding found in these shards, as a DataFrame of `FINDINGS_SCHEMA`."""
    return read_files(spark, [decoding_.location(findings_name(name)) for name in staged], FINDINGS_DDL)


def findings_name(staged: str) -> str:
    """File name of what was learnt about the images of a shard."""
    return f"{staged}.findings.parquet"


def pixels_name(staged: str) -> str:
    """File name of a shard's encoded images."""
    return f"{staged}.pixels.arrow"


def decode_shard(
    shard: int, rows: Sequence[ImageRow], decoding_: Decoding, progress: Callable[[int, int], None]
) -> tuple[str, int]:
    """Decode the images of one shard, unless that has been done.

    Args:
        shard: its number.
        rows: its images, in any order.
        decoding_: where from, where to and how.
        progress: told (images done, images rejected) from time to time.

    Returns:
        The shard's name in the shards folder, and how many of its images were rejected.
    """
    rows = sorted(rows, key=lambda row: (order_of(row.source, decoding_.seed), row.source))
    key = xxhash.xxh3_64(decoding_.options_digest.encode())
    for row in rows:
        key.update(f"{row.source}\0{row.size_bytes}\0{row.fingerprint}\0".encode("utf-8", "surrogatepass"))
    staged = f"{shard:05d}-{key.hexdigest()}"
    finished = decoding_.location(findings_name(staged))
    if storage.exists(finished):
        reasons = files.read_table(finished, ["reason"])["reason"].to_pylist()
        num_rejected = sum(reason != "" for reason in reasons)
        progress(len(rows), num_rejected)
        return staged, num_rejected
    findings = []
    with (
        files.new_file(decoding_.location(pixels_name(staged))) as path,
        pa.OSFile(path, "wb") as sink,
        pa.ipc.new_file(sink, _PIXELS_SCHEMA) as writer,
    ):
        images = _processed(rows, decoding_)
        position = 0
        while batch := list(islice(images, _BATCH_ROWS)):
            good = [result for _, result in batch if isinstance(result, decoding.Decoded)]
            writer.write_batch(pa.record_batch([pa.array([g.image for g in good], pa.binary())], _PIXELS_SCHEMA))
            for row, result in batch:
                findings.append(_finding(row, result, shard, staged, position))
                position += isinstance(result, decoding.Decoded)
            progress(len(batch), len(batch) - len(good))
    columns = list(zip(*findings, strict=True))
    arrays = [pa.array(column, field.type) for column, field in zip(columns, FINDINGS_SCHEMA, strict=True)]
    files.write_table(finished, pa.table(arrays, schema=FINDINGS_SCHEMA))
    return staged, len(rows) - position


def _finding(row: ImageRow, result: "decoding.Decoded | str", shard: int, staged: str, position: int) -> tuple:
    known = (row.source, row.fingerprint, row.size_bytes, shard, staged)
    if isinstance(result, str):
        return (*known, -1, result, "", 0, 0, 0, 0, 0, 0, 0)
    sums = (*result.channel_sums, *result.channel_square_sums)
    return (*known, position, "", result.content_hash, result.perceptual_hash, *sums)


def _processed(rows: Iterable[ImageRow], decoding_: Decoding) -> Iterator[tuple[ImageRow, "decoding.Decoded | str"]]:
    """Yield each image with its result, or with the reason why there is none."""
    decoding.use_one_thread()
    for row, content in read_ahead(rows, decoding_.source):
        if isinstance(content, str):
            yield row, content
            continue
        try:
            yield row, decoding.process(content, decoding_.image_size, decoding_.crop, decoding_.encoding)
        except decoding.Unreadable as verdict:
            yield row, str(verdict)


def read_ahead(rows: Iterable[ImageRow], source: str) -> Iterator[tuple[ImageRow, bytes | str]]:
    """Yield each image's bytes, or the reason why they cannot be read; several at a time where it means waiting."""
    rows = iter(rows)
    if storage.is_local(source):
        # Straight from the disk: fsspec would take a third of the time of reading.
        for row in rows:
            remote = "://" in row.source
            yield row, read_image(row.source, source) if remote else _read_local(os.path.join(source, row.source))  # noqa: PTH118
        return
    with ThreadPoolExecutor(_REMOTE_READS) as pool:
        pending = [(row, pool.submit(read_image, row.source, source)) for row in islice(rows, 2 * _REMOTE_READS)]
        while pending:
            row, content = pending.pop(0)
            yield row, content.result()
            pending += [(row, pool.submit(read_image, row.source, source)) for row in islice(rows, 1)]


def _read_local(path: str) -> bytes | str:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read()
    except tuple(_REASONS) as error:
        return _REASONS[type(error)]


def read_image(path: str, source: str) -> bytes | str:
    """Read one image of the source; a file that is gone or closed to us gives the reason instead of an error."""
    try:
        whole = "://" in path or path.startswith("/")
        return retries.call(storage.read_bytes, path if whole else storage.join(source, path))
    except tuple(_REASONS) as error:
        return _REASONS[type(error)]
