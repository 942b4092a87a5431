"""The two Spark jobs that touch pixels. Only paths and small facts go through Spark, never an image."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from etl import shards
from etl.frames import read_files
from etl.listing import LISTING_DDL, as_image_row
from etl.narrating import Counts
from etl.rows import LISTED, ROW_COLUMNS
from etl.writing import PLACED_COLUMNS, Writing, write_shard
from hvdcells.manifest import Manifest, ParquetFile

if TYPE_CHECKING:
    from pyspark import RDD
    from pyspark.sql import DataFrame, SparkSession


def decode_all(
    spark: "SparkSession",
    chunks: Sequence[str],
    decoding: shards.Decoding,
    previous: Manifest | None,
    first_shard: int,
    num_shards: int,
    progress: Counts,
) -> tuple[list[str], int]:
    """Decode all images that are not known from the dataset's earlier state.

    Returns:
        The names of all shards, the earlier ones too, and the number of images rejected in the new ones.
    """
    rows = read_files(spark, list(chunks), LISTING_DDL).where(f"status = '{LISTED}'")
    known = list(previous.shards) if previous else []
    if known:
        old = shards.read_findings(spark, known, decoding).select("source", "size_bytes", "fingerprint")
        rows = rows.join(old, ["source", "size_bytes", "fingerprint"], "left_anti")

    def decode(members: Iterator[tuple[int, tuple]]) -> Iterator[tuple[str, int]]:
        shard, images = None, []
        for shard, values in members:  # noqa: B007
            images.append(as_image_row(dict(zip(ROW_COLUMNS, values, strict=True))))
        if images:
            yield shards.decode_shard(shard, images, decoding, progress)

    keyed = rows.select("shard", *ROW_COLUMNS).rdd.map(lambda row: (row[0], tuple(row[1:])))
    done = _one_task_a_shard(keyed, num_shards, first_shard).mapPartitions(decode).collect()
    return known + [name for name, _ in done], sum(rejected for _, rejected in done)


def write_all(
    spark: "SparkSession", placed: "DataFrame", writing: Writing, num_shards: int, progress: Counts
) -> list[tuple[str, ParquetFile]]:
    """Write the files of all shards; return (split, file) for each."""

    def write(members: Iterator[tuple[int, tuple]]) -> Iterator[tuple[str, ParquetFile]]:
        shard, images = None, []
        for shard, values in members:  # noqa: B007
            images.append(values)
        if images:
            yield from write_shard(shard, images, writing)
            progress(len(images), 0)

    kept = placed.where("dropped = ''").select(*PLACED_COLUMNS)
    keyed = kept.rdd.map(lambda row: (row[0], tuple(row)))
    return _one_task_a_shard(keyed, num_shards, 0).mapPartitions(write).collect()


def _one_task_a_shard(keyed: "RDD", num_shards: int, first_shard: int) -> "RDD":
    return keyed.partitionBy(num_shards, lambda shard: shard - first_shard)
