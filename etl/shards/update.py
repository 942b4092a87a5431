"""An update: images that are known from the dataset's earlier state stay in the shards they were decoded in."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from etl.shards.findings import MIN_SHARD_IMAGES, Decoding, number_of
from etl.shards.jobs import sql_settings_for
from etl.source.rows import LISTED, ROW_SCHEMA, append_rows, read_rows, rows_file_name, to_table
from hvdcells import storage
from hvdcells.storage import parquet

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame, SparkSession

_DDL = {pa.int64(): "bigint", pa.string(): "string"}
_LISTING_DDL = ", ".join(f"`{field.name}` {_DDL[field.type]}" for field in ROW_SCHEMA)
_KEY = ("source", "size_bytes", "fingerprint")


def keep_known_shards(
    spark: "SparkSession",
    dealt: str,
    numbers: Sequence[int],
    known: Sequence[str],
    decoding: Decoding,
    folder: str,
) -> list[int]:
    """Deal the listing out anew, each known image to the shard that holds it.

    Args:
        spark: the session.
        dealt: folder of the listing as it was dealt out to new shards.
        numbers: the numbers of these.
        known: names of the shards of the dataset's earlier state.
        decoding: where their findings are.
        folder: where the listing goes.

    Returns:
        The numbers of all shards that hold images now.
    """
    from pyspark.sql import functions as f

    storage.remove(folder)

    def write(rows: "pd.DataFrame") -> "pd.DataFrame":
        shard = int(rows["shard"].iloc[0])
        table = pa.Table.from_pandas(rows[ROW_SCHEMA.names], ROW_SCHEMA, preserve_index=False)
        with storage.told_to_driver(), storage.new_file(storage.join(folder, rows_file_name(shard))) as file:
            append_rows(file.name, table)
        return rows[["shard"]].head(1)

    with sql_settings_for(spark, MIN_SHARD_IMAGES * len(numbers)):
        rows = _read(spark, [(number, storage.join(dealt, rows_file_name(number))) for number in numbers])
        places = [(number_of(name), decoding.findings(name)) for name in known]
        old = _read_keys(spark, places).withColumnRenamed("shard", "old_shard")
        joined = rows.join(old, list(_KEY), "left")
        is_known = f.col("old_shard").isNotNull() & (f.col("status") == LISTED)
        shard = f.when(is_known, f.col("old_shard")).otherwise(f.col("shard"))
        written = (
            joined.withColumn("shard", shard).drop("old_shard").groupBy("shard").applyInPandas(write, "shard bigint")
        )
        return sorted(row.shard for row in written.collect())


def _read(spark: "SparkSession", places: list[tuple[int, str]]) -> "DataFrame":
    """Return the listing with the shard of each image."""

    def tables(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number, location in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                with storage.told_to_driver():
                    table = to_table(read_rows(location))
                yield from table.append_column("shard", pa.array([number] * len(table), pa.int64())).to_batches()

    return _places(spark, places).mapInArrow(tables, f"{_LISTING_DDL}, shard bigint")


def _read_keys(spark: "SparkSession", places: list[tuple[int, str]]) -> "DataFrame":
    """Return what identifies the images of known shards, and their shard."""

    def tables(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number, location in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                with storage.told_to_driver():
                    table = parquet.read_table(location, _KEY).select(_KEY).replace_schema_metadata()
                yield from table.append_column("shard", pa.array([number] * len(table), pa.int64())).to_batches()

    return _places(spark, places).mapInArrow(
        tables, "source string, size_bytes bigint, fingerprint string, shard bigint"
    )


def _places(spark: "SparkSession", places: list[tuple[int, str]]) -> "DataFrame":
    # Many small files are read some to a task.
    num_tasks = max(1, min(len(places), spark.sparkContext.defaultParallelism + len(places) // 64))
    return spark.createDataFrame(spark.sparkContext.parallelize(places, num_tasks), "shard bigint, location string")
