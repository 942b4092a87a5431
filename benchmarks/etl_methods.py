"""Three ways from BMP files to the same Parquet rows: this project's, the classic Petastorm recipe, and the limit."""

import io
import shutil
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from etl.dataset.petastorm import unischema
from etl.options import CNMC_CROP, EtlOptions
from etl.pipeline import run_etl
from hvdcells.data.columns import ImageEncoding
from hvdcells.spark import listener

if TYPE_CHECKING:
    from multiprocessing.pool import Pool

    from pyspark.sql import SparkSession

IMAGE_SIZE = 224
ROWS_PER_ROW_GROUP = 32
ROWS_PER_FILE = 512


class StageClock(listener.Listener):
    """Notes when the stages of a run begin."""

    def __init__(self) -> None:
        self.marks: list[tuple[str, float]] = [("listing", time.perf_counter())]

    def stage(self, name: str, num_images: int) -> None:
        """Begin a stage."""
        self.marks.append((name, time.perf_counter()))

    def stage_over(self, name: str) -> None:
        """End a stage."""
        self.marks.append((f"after {name}", time.perf_counter()))

    def finish(self) -> None:
        """The run is over."""
        self.marks.append(("end", time.perf_counter()))

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of each stage of a finished run."""
        return {name: end - began for (name, began), (_, end) in pairwise(self.marks)}


def this_project(
    spark: "SparkSession", source: Path, out: Path, encoding: ImageEncoding, clocks: list[StageClock]
) -> Callable[[], None]:
    """Return the ETL stage as it is, with everything it does: hashes, leakage groups, splits, manifest, overview."""

    def run() -> None:
        shutil.rmtree(out, ignore_errors=True)
        clock = StageClock()
        run_etl(spark, source, out, EtlOptions.of(encoding=encoding, split="grouped"), listener=clock)
        clock.finish()
        clocks.append(clock)

    return run


def classic(spark: "SparkSession", files: Sequence[str], out: Path, encoding: ImageEncoding) -> Callable[[], None]:
    """Return the recipe of Petastorm's documentation: one Spark row per image through `dict_to_spark_row`."""
    from petastorm.etl.dataset_metadata import materialize_dataset
    from petastorm.unischema import Unischema, dict_to_spark_row

    # The columns of this project's dataset, but for the two that only a look at all pixels tells.
    fields = unischema(IMAGE_SIZE, encoding).fields
    schema = Unischema(
        "ClassicCells", [field for name, field in fields.items() if name not in ("content_hash", "group")]
    )

    def row_of(path: str) -> dict:
        cv2.setNumThreads(0)
        with open(path, "rb") as file:  # noqa: PTH123
            pixels = crop_and_resize(file.read())
        *_, folder, class_name, name = path.split("/")
        image_id = name.removesuffix(".bmp")
        _, subject, _, cell, _ = image_id.split("_")
        fold = int(folder.removeprefix("fold_"))
        return {
            "image": pixels,
            "label": np.int32(class_name == "all"),
            "class_name": class_name,
            "subject": subject,
            "image_id": image_id,
            "cell": cell,
            "source": path,
            "fold": np.int32(fold),
            "split": "validation" if fold == 2 else "train",
        }

    def run() -> None:
        shutil.rmtree(out, ignore_errors=True)
        with materialize_dataset(spark, f"file://{out}", schema, row_group_size_mb=4):
            rows = spark.sparkContext.parallelize(files, 16).map(lambda path: dict_to_spark_row(schema, row_of(path)))
            spark.createDataFrame(rows, schema.as_spark_schema()).write.mode("overwrite").parquet(f"file://{out}")

    return run


def limit(pool: "Pool", files: Sequence[str], out: Path, encoding: ImageEncoding) -> Callable[[], None]:
    """Return a bare loop over the cores: read, decode, crop, resize, encode, write Parquet; nothing is learnt."""

    def run() -> None:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        pieces = [
            (list(files[start : start + ROWS_PER_FILE]), str(out / f"{start:07d}.parquet"), encoding)
            for start in range(0, len(files), ROWS_PER_FILE)
        ]
        pool.map(_write_piece, pieces, chunksize=1)

    return run


def warm_process() -> None:
    """Prepare a process of the limit's pool: imports have been done by now, threads are limited as in Spark's tasks."""
    cv2.setNumThreads(0)
    pa.array([b""])


def read_whole(path: str) -> int:
    """Read a file; return its size in bytes."""
    return len(Path(path).read_bytes())


def crop_and_resize(content: bytes) -> np.ndarray:
    """Decode a colour image and cut and shrink it as the ETL stage does, without looking at anything else."""
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    top, left = (image.shape[0] - CNMC_CROP) // 2, (image.shape[1] - CNMC_CROP) // 2
    cut = image[top : top + CNMC_CROP, left : left + CNMC_CROP]
    small = cv2.resize(cut, (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_BGR2RGB)


def _write_piece(piece: tuple[list[str], str, ImageEncoding]) -> None:
    paths, out, encoding = piece
    schema = pa.schema([("image", pa.binary()), ("label", pa.int32()), ("source", pa.string())])
    compression = {"image": "zstd" if encoding == "raw" else "none", "label": "zstd", "source": "zstd"}
    levels = {name: 1 for name, codec in compression.items() if codec == "zstd"}
    texts = ["label", "source"]
    with pq.ParquetWriter(
        out, schema, compression=compression, compression_level=levels, use_dictionary=texts, write_statistics=texts
    ) as writer:
        for start in range(0, len(paths), ROWS_PER_ROW_GROUP):
            members = paths[start : start + ROWS_PER_ROW_GROUP]
            images = []
            for path in members:
                with open(path, "rb") as file:  # noqa: PTH123
                    images.append(_encode(crop_and_resize(file.read()), encoding))
            labels = [int(path.endswith("_all.bmp")) for path in members]
            writer.write_table(pa.table([images, labels, members], schema=schema))


def _encode(pixels: np.ndarray, encoding: ImageEncoding) -> bytes:
    if encoding == "png":
        return cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes()
    memory = io.BytesIO()
    np.save(memory, pixels)
    return memory.getvalue()
