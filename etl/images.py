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


def load_images(
    spark: "SparkSession", chunks: Sequence[str], staged: Sequence[str], decoding: shards.Decoding, subjects_known: bool
) -> "DataFrame":
    """Return the images that could be decoded, with all columns of the listing and of the findings.

    `image_id` is made unique, and an image whose source names no subject is its own.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    listed, found = _both(spark, chunks, staged, decoding)
    images = listed.drop("shard", "status", "reason").join(found.where("reason = ''").drop("reason"), list(_KEY))
    same_name = f.count("*").over(Window.partitionBy("image_id"))
    unique = f.when(same_name > 1, f.col("source")).otherwise(f.col("image_id"))
    images = images.withColumn("image_id", unique)
    return images if subjects_known else images.withColumn("subject", f.col("image_id"))


def load_rejected(
    spark: "SparkSession", chunks: Sequence[str], staged: Sequence[str], decoding: shards.Decoding
) -> "DataFrame":
    """Return `source`, `reason` of the images that cannot be used, by their listing or by their content."""
    listed, found = _both(spark, chunks, staged, decoding)
    by_listing = read_files(spark, list(chunks), LISTING_DDL).where(f"status = '{REJECTED}'")
    by_content = listed.select(*_KEY).join(found.where("reason != ''"), list(_KEY))
    return by_listing.select("source", "reason").union(by_content.select("source", "reason"))


def _both(
    spark: "SparkSession", chunks: Sequence[str], staged: Sequence[str], decoding: shards.Decoding
) -> tuple["DataFrame", "DataFrame"]:
    listed = read_files(spark, list(chunks), LISTING_DDL).where(f"status = '{LISTED}'")
    return listed, shards.read_findings(spark, staged, decoding)
