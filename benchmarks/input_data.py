"""What the input pipelines are measured on: the same distinct images as a raw dataset, a PNG dataset and TFRecords.

The images are synthetic cells as the ETL stage cuts them (224×224, mostly black ground, about as compressible as real
ones), each in its eight flips and turns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from etl.demo_cells.generator import synthesize
from etl.options import CNMC_CROP, EtlOptions
from etl.pipeline import run_etl
from hvdcells.data.dataset import Dataset
from hvdcells.data.manifest import MANIFEST_NAME
from hvdcells.data.stored_images import encode
from hvdcells.images.decode import decode
from hvdcells.images.prepare import square_of
from hvdcells.spark.session import spark_session

IMAGE_SIZE = 224
NUM_SUBJECTS = 24
NUM_NAMED_SUBJECTS = 18
"""The others are the preliminary test, whose file names do not tell the class."""
NUM_VARIANTS = 8
NUM_RECORD_FILES = 8


@dataclass(frozen=True)
class InputData:
    """The same training images three times."""

    raw: Dataset
    png: Dataset
    records: tuple[str, ...]
    """TFRecord files with `image` (PNG) and `label`."""

    @property
    def num_images(self) -> int:
        """Images of the training split."""
        return self.raw.split("train").images


def prepare(folder: Path, num_images: int) -> InputData:
    """Make the data below a folder, or find it made.

    Args:
        folder: where it is kept from run to run.
        num_images: least number of images in the training split.
    """
    # One cell of each subject is set aside for validation: the ETL stage wants some, and none from training.
    cells_per_subject = -(-num_images // (NUM_VARIANTS * NUM_NAMED_SUBJECTS)) + 1
    folder = folder / f"{cells_per_subject}-cells-per-subject"
    missing = [name for name in ("raw", "png") if not (folder / name / MANIFEST_NAME).exists()]
    if missing:
        cells, images = folder / "cells", folder / "images"
        synthesize(cells, NUM_SUBJECTS, cells_per_subject)
        _write_variants(cells, images)
        with spark_session() as spark:
            for encoding in missing:
                run_etl(spark, images, folder / encoding, EtlOptions.of(image_size=IMAGE_SIZE, encoding=encoding))
    raw, png = Dataset.open(folder / "raw"), Dataset.open(folder / "png")
    records = folder / "records"
    if not records.exists():
        _write_records(png, records)
    return InputData(raw, png, tuple(sorted(map(str, records.iterdir()))))


def row_groups(dataset: Dataset) -> list[tuple[str, int]]:
    """Return (path of the file, number of the row group in it) of all row groups of the training split."""
    return [
        (f"{dataset.location}/{file.path}", number)
        for file in dataset.split("train").files
        for number in range(len(file.rows_per_row_group))
    ]


def _write_variants(cells: Path, images: Path) -> None:
    for path in sorted(cells.rglob("UID_*.bmp")):
        split = "validation" if path.stem.split("_")[2:4] == ["1", "1"] else "train"
        target = images / split / path.stem.rpartition("_")[2]
        target.mkdir(parents=True, exist_ok=True)
        square = square_of(decode(path.read_bytes()), IMAGE_SIZE, CNMC_CROP)
        for number, image in enumerate(_flips_and_turns(square)):
            (target / f"{path.stem}-{number}.png").write_bytes(encode(image, "png"))


def _flips_and_turns(image: np.ndarray) -> Iterator[np.ndarray]:
    for flipped in (image, image[::-1]):
        for quarter_turns in range(4):
            yield np.ascontiguousarray(np.rot90(flipped, quarter_turns))


def _write_records(dataset: Dataset, folder: Path) -> None:
    import pyarrow.parquet as pq
    import tensorflow as tf

    aside = folder.with_name("records.unfinished")
    aside.mkdir(exist_ok=True)
    tables = [pq.read_table(f"{dataset.location}/{file.path}") for file in dataset.split("train").files]
    writers = [tf.io.TFRecordWriter(f"{aside}/{number:05d}.tfrecord") for number in range(NUM_RECORD_FILES)]
    number = 0
    for table in tables:
        for image, label in zip(table["image"], table["label"], strict=True):
            features = {
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.as_py()])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label.as_py()])),
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writers[number % NUM_RECORD_FILES].write(example.SerializeToString())
            number += 1
    for writer in writers:
        writer.close()
    aside.rename(folder)
