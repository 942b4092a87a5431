"""The Spark jobs over shards, and what keeps them short. Numbers and small facts go through Spark, never an image."""

import gc
import sys
import zipimport
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from etl.shards.decode import decode_shard
from etl.shards.findings import read_findings
from etl.shards.rewrite import rewrite_shard
from etl.shards.shard import DecodedShard, ShardContext, WrittenShard
from etl.source.rows import REJECTED
from hvdcells import storage
from hvdcells.spark.listener import CountImages

if TYPE_CHECKING:
    from pyspark import RDD
    from pyspark.sql import SparkSession

Entry = TypeVar("Entry")
Result = TypeVar("Result")

_ROWS_PER_PARTITION = 100_000
_FEW_ROWS = 200_000


def decode_all(
    spark: "SparkSession", numbers: Sequence[int], context: ShardContext, count: CountImages
) -> list[DecodedShard]:
    """Decode all shards of these numbers that are not decoded yet; those without an image to decode are left out."""
    decoded = flat_map(spark, numbers, lambda number: [decode_shard(number, context, count)], len(numbers)).collect()
    return [shard for shard in decoded if shard is not None]


def rewrite_all(
    spark: "SparkSession", shards: Sequence[DecodedShard], context: ShardContext, count: CountImages
) -> list[WrittenShard]:
    """Bring the files of all shards in line with the placement."""
    named = [(shard.number, shard.name) for shard in shards]
    return flat_map(spark, named, lambda shard: [rewrite_shard(*shard, context, count)], len(named)).collect()


def rejects_of_all(
    spark: "SparkSession", numbers: Sequence[int], shards: Sequence[DecodedShard], context: ShardContext
) -> Iterator[tuple[str, str]]:
    """Yield source and reason of the images that cannot be used, in the order of their names."""
    name_of = {shard.number: shard.name for shard in shards}

    def rejects(number: int) -> Iterator[tuple[str, str]]:
        rows = context.all_rows(number)
        yield from ((row.source, row.reason) for row in rows if row.status == REJECTED)
        if number in name_of:
            findings = read_findings(context.decoding.findings(name_of[number])).images
            listed = {row.source for row in rows if row.status != REJECTED}
            yield from ((found.source, found.reason) for found in findings if found.reason and found.source in listed)

    # Any, because PySpark's type of what has an order fits neither text nor tuples.
    found: RDD[Any] = flat_map(spark, numbers, rejects, 2 * spark.sparkContext.defaultParallelism)
    return found.sortBy(lambda reject: reject, numPartitions=max(1, len(numbers) // 16)).toLocalIterator()


def flat_map(
    spark: "SparkSession", entries: Sequence[Entry], function: Callable[[Entry], Iterable[Result]], num_tasks: int
) -> "RDD[Result]":
    """Return the results of a function that gives several for each entry; it runs in `num_tasks` tasks."""

    def task(members: Iterable[Entry]) -> Iterator[Result]:
        make_ready()
        with storage.told_to_driver():
            for member in members:
                yield from function(member)

    return spark.sparkContext.parallelize(entries, max(1, min(len(entries), num_tasks))).mapPartitions(task)


def make_ready() -> None:
    """Keep what PySpark does between two tasks of a Python process short.

    Before each, it has all importers look anew at what they import from, and reading the directories of its zip files
    takes 40 ms and more (Python 3.10 and later); without importers for them, there is nothing to look at. After each,
    it collects garbage, and going through all objects of all imported modules takes 10 to 50 ms; frozen, they are
    passed over.
    """
    for path, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimport.zipimporter):
            del sys.path_importer_cache[path]
    _freeze_modules()


@cache
def _freeze_modules() -> None:
    gc.freeze()


@contextmanager
def sql_settings_for(spark: "SparkSession", num_rows: int) -> Iterator[None]:
    """Suit Spark's SQL settings to a number of rows of metadata; the session gets its own back afterwards.

    For some thousand rows the usual settings cost far more than the work: adaptive planning runs every step as a
    job of its own, generated code is compiled for each, and each shuffle has many nearly empty partitions.
    """
    few = num_rows <= _FEW_ROWS
    wanted = {
        "spark.sql.shuffle.partitions": str(max(1, -(-num_rows // _ROWS_PER_PARTITION))),
        "spark.sql.adaptive.enabled": str(not few).lower(),
        "spark.sql.codegen.wholeStage": str(not few).lower(),
    }
    before = {name: spark.conf.get(name, None) for name in wanted}
    for name, value in wanted.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name, own in before.items():
            if own is None:
                spark.conf.unset(name)
            else:
                spark.conf.set(name, own)
