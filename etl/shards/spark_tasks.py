"""Spark tasks in plain Python, with little time lost between them."""

import gc
import sys
import zipimport
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pyspark import RDD
    from pyspark.sql import SparkSession

Entry = TypeVar("Entry")
Result = TypeVar("Result")


def flat_map(
    spark: "SparkSession", entries: Sequence[Entry], function: Callable[[Entry], Iterable[Result]], num_tasks: int
) -> "RDD[Result]":
    """Return the results of a function that gives several for each entry; it runs in `num_tasks` tasks."""

    def task(members: Iterator[Entry]) -> Iterator[Result]:
        make_ready()
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
