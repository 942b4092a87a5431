"""DataFrames kept while they are worked on, and the settings under which that is done."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_ROWS_PER_PARTITION = 100_000
_FEW_ROWS = 200_000


@contextmanager
def persist(frame: "DataFrame") -> Iterator["DataFrame"]:
    """Keep a DataFrame (in memory, on disk where that is short) as long as the body runs."""
    frame = frame.persist()
    try:
        yield frame
    finally:
        frame.unpersist()


@contextmanager
def settings_for(spark: "SparkSession", num_rows: int) -> Iterator[None]:
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
        for name, value in before.items():
            if value is None:
                spark.conf.unset(name)
            else:
                spark.conf.set(name, value)
