"""DataFrames from Parquet files at any fsspec address."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from etl import files

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def read_files(spark: "SparkSession", locations: list[str], ddl: str) -> "DataFrame":
    """Read Parquet files through fsspec in Spark's tasks: Spark's own reader knows no s3:// without extra jars."""

    def tables(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for location in batch.column(0).to_pylist():
                yield from files.read_table(location).to_batches()

    if not locations:
        return spark.createDataFrame([], ddl)
    # Many small files (one a shard) are read some to a task; a chunk of the listing has a task to itself.
    slots = max(1, min(len(locations), 4 * spark.sparkContext.defaultParallelism))
    paths = spark.createDataFrame(
        spark.sparkContext.parallelize([(location,) for location in locations], slots), "location string"
    )
    return paths.mapInArrow(tables, ddl)
