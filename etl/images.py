"""The images of a source as a DataFrame: the listing joined with what decoding found."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from etl import shards
from etl.frames import read_files
from etl.listing import LISTING_DDL
from etl.rows import LISTED, REJECTED

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_KEY = ("source", "size_bytes", "fingerprint")


def load_rows(
    spark: "SparkSession", chunks: Sequence[str], staged: Sequence[str], decoding: shards.Decoding
) -> "DataFrame":
    """Return every row of the listing with what was found when it was decoded (null where it was not).

    `reason` is set for rejected images, by the listing or by decoding; `status` says rejected for both.
    """
    from pyspark.sql import functions as f

    listed = read_files(spark, list(chunks), LISTING_DDL).drop("shard").withColumnRenamed("reason", "listed_reason")
    found = shards.read_findings(spark, staged, decoding)
    rows = listed.join(found, list(_KEY), "left")
    unusable = (f.col("status") == LISTED) & (f.coalesce("reason", f.lit("")) != "")
    rows = rows.withColumn("status", f.when(unusable, REJECTED).otherwise(f.col("status")))
    return rows.withColumn("reason", f.coalesce("reason", "listed_reason")).drop("listed_reason")


def usable(rows: "DataFrame", subjects_known: bool) -> "DataFrame":
    """Return the images that were decoded. `image_id` is made unique; where no subject is named, each is its own."""
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    images = rows.where(f"status = '{LISTED}'").drop("status", "reason")
    same_name = f.count("*").over(Window.partitionBy("image_id"))
    images = images.withColumn("image_id", f.when(same_name > 1, f.col("source")).otherwise(f.col("image_id")))
    return images if subjects_known else images.withColumn("subject", f.col("image_id"))


def rejected(rows: "DataFrame") -> "DataFrame":
    """Return `source`, `reason` of the images that cannot be used."""
    return rows.where(f"status = '{REJECTED}'").select("source", "reason")
