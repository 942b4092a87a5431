"""The Spark jobs that make shards. Only numbers and small facts go through Spark, never an image."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from etl.listener import Counts
from etl.shards.findings import read_findings
from etl.shards.spark_tasks import flat_map
from etl.shards.task import Made, Making, decode_shard, settle_shard
from etl.source import listing
from etl.source.rows import REJECTED
from hvdcells import storage

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def decode_all(spark: "SparkSession", numbers: Sequence[int], making: Making, progress: Counts) -> list[Made]:
    """Decode all shards of these numbers that are not decoded yet."""
    return flat_map(spark, numbers, lambda shard: decode_shard(shard, making, progress), len(numbers)).collect()


def settle_all(spark: "SparkSession", made: Sequence[Made], making: Making, progress: Counts) -> list[Made]:
    """Bring the files of all shards in line with the placement."""
    named = [(shard.shard, shard.staged) for shard in made]
    return flat_map(spark, named, lambda shard: [settle_shard(*shard, making, progress)], len(named)).collect()


def rejects_of_all(
    spark: "SparkSession", numbers: Sequence[int], made: Sequence[Made], making: Making
) -> Iterator[tuple[str, str]]:
    """Yield source and reason of the images that cannot be used, in the order of their names."""
    staged_of = {shard.shard: shard.staged for shard in made}

    def rejects(shard: int) -> Iterator[tuple[str, str]]:
        rows = listing.read_rows(storage.join(making.listing, listing.file_name(shard)))
        yield from ((row.source, row.reason) for row in rows if row.status == REJECTED)
        if shard in staged_of:
            findings, _ = read_findings(making.decoding.findings(staged_of[shard]))
            listed = {row.source for row in rows if row.status != REJECTED}
            yield from ((found.source, found.reason) for found in findings if found.reason and found.source in listed)

    found = flat_map(spark, numbers, rejects, 2 * spark.sparkContext.defaultParallelism)
    return found.sortBy(lambda reject: reject, numPartitions=max(1, len(numbers) // 16)).toLocalIterator()
