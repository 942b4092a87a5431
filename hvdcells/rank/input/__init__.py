"""One rank's images: from Parquet to batches."""
