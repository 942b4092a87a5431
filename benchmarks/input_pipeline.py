"""Images per second of the input pipeline, beside what else a TensorFlow user could read with.

`python -m benchmarks.input_pipeline --out FILE.json`. All cases read the same distinct 224×224 images, in the same
process, with the same number of threads and a warm page cache, and hand uint8 RGB on in batches of 32:

- `hvdcells`: the pipeline a rank trains with, on a dataset as `hvdcells etl` writes it (encoding `raw`);
- `hvdcells_png`: the same on a dataset of encoding `png`;
- `make_reader`: Petastorm as its documentation shows it, on the PNG dataset;
- `tfrecord`: TFRecord files of PNG and `tf.io.decode_png`, tuned as TensorFlow's performance guide says;
- `limit`: no more than a pyarrow scan of the PNG dataset and OpenCV, in threads: no order, shuffling or batches;
- `raw_limit`: no more than a pyarrow scan of the raw dataset.
"""

import os
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
import pyarrow.parquet as pq
import pyarrow_hotfix  # noqa: F401 - closes CVE-2023-47248, before any Parquet is read
import tensorflow as tf
import typer

from benchmarks.harness import (
    OutOption,
    environment,
    print_samples,
    ratio_of,
    run_interleaved,
    significant,
    write_result,
)
from benchmarks.input_data import IMAGE_SIZE, InputData, prepare, row_groups
from hvdcells.data.dataset import Dataset
from hvdcells.data.shard_plan import plan_epoch
from hvdcells.experiment import Data
from hvdcells.rank.input.batches import rank_batches

BATCH_SIZE = 32
NOTES = (
    "hvdcells reads its default encoding (raw), written by the ETL stage; limit_images_per_second is a bare scan of "
    "the PNG dataset with OpenCV decoding, so ratio_to_limit compares two encodings and can exceed 1. Within one "
    "encoding: ratio_to_raw_limit and png_ratio_to_limit. Ratios are medians over rounds of the ratio within a round. "
    "Start-up is included; make_reader reads the images once a round, the others as often as passes says."
)


def main(
    out: Annotated[Path, OutOption],
    data: Annotated[
        Path | None, typer.Option(help="Folder in which the images are kept from run to run; none: a temporary one.")
    ] = None,
    num_images: Annotated[int, typer.Option(min=64, help="Least number of images.")] = 3000,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    passes: Annotated[int, typer.Option(min=1, help="Times each case reads all images in a round.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads of every case.")] = Data().reader_threads,
) -> None:
    """Measure the input pipeline against make_reader, TFRecord and a bare scan."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    cv2.setNumThreads(0)  # decoding is parallel over images, in every case
    warnings.simplefilter("ignore")  # Petastorm calls what pyarrow and Python have deprecated
    with tempfile.TemporaryDirectory() as temporary:
        prepared = prepare(data or Path(temporary), num_images)
        result = measure(prepared, rounds, passes, threads)
    write_result(out, result)


def measure(data: InputData, rounds: int, passes: int, threads: int) -> dict:
    """Run all cases and return the result as it is written."""
    buffer = Data().shuffle_buffer
    reads: dict[str, Callable[[], int]] = {
        "hvdcells": partial(read_hvdcells, data.raw, passes, threads, buffer),
        "hvdcells_png": partial(read_hvdcells, data.png, passes, threads, buffer),
        "tfrecord": partial(read_tfrecord, data.records, passes, threads, buffer),
        "make_reader": partial(read_make_reader, data.png, threads),
        "limit": partial(scan, data.png, decode_with_opencv, passes, threads),
        "raw_limit": partial(scan, data.raw, view_pixels, passes, threads),
    }
    cpu_seconds: dict[str, list[float]] = {name: [] for name in reads}

    def case(name: str) -> float:
        began, began_cpu = time.perf_counter(), time.process_time()
        num_images = reads[name]()
        cpu_seconds[name].append((time.process_time() - began_cpu) / num_images)
        return num_images / (time.perf_counter() - began)

    samples = run_interleaved({name: partial(case, name) for name in reads}, rounds)
    print_samples("Input pipeline", "images/s", samples)
    rate = {name: significant(sample.median) for name, sample in samples.items()}
    return {
        "hvdcells_images_per_second": rate["hvdcells"],
        "tfrecord_images_per_second": rate["tfrecord"],
        "make_reader_images_per_second": rate["make_reader"],
        "limit_images_per_second": rate["limit"],
        "ratio_to_tfrecord": ratio_of(samples, "hvdcells", "tfrecord"),
        "ratio_to_make_reader": ratio_of(samples, "hvdcells", "make_reader"),
        "ratio_to_limit": ratio_of(samples, "hvdcells", "limit"),
        "raw_limit_images_per_second": rate["raw_limit"],
        "ratio_to_raw_limit": ratio_of(samples, "hvdcells", "raw_limit"),
        "png_images_per_second": rate["hvdcells_png"],
        "png_ratio_to_limit": ratio_of(samples, "hvdcells_png", "limit"),
        "png_ratio_to_tfrecord": ratio_of(samples, "hvdcells_png", "tfrecord"),
        "notes": NOTES,
        "images": data.num_images,
        "image_size": IMAGE_SIZE,
        "batch_size": BATCH_SIZE,
        "shuffle_buffer": buffer,
        "threads": threads,
        "passes": passes,
        "rounds": {name: sample.to_json() for name, sample in samples.items()},
        "cpu_microseconds_per_image": {
            name: significant(1e6 * median(seconds[-rounds:])) for name, seconds in cpu_seconds.items()
        },
        "bytes_per_image": {
            name: round(
                sum(Path(path).stat().st_size for path in {path for path, _ in row_groups(dataset)}) / data.num_images
            )
            for name, dataset in (("raw", data.raw), ("png", data.png))
        },
        "environment": environment(["tensorflow", "petastorm", "pyarrow", "numpy", "opencv-python-headless"]),
    }


def read_hvdcells(dataset: Dataset, passes: int, threads: int, buffer: int) -> int:
    """Read as a rank does: shuffled, batched, one stream over all passes. Returns the images read, as all of these."""
    rows = dataset.rows_per_row_group("train")
    plans = [plan_epoch(rows, 1, BATCH_SIZE, seed=0, epoch=epoch) for epoch in range(passes)]
    with rank_batches(
        dataset,
        "train",
        plans,
        0,
        input_size=IMAGE_SIZE,
        num_threads=threads,
        shuffle_buffer=buffer,
        seed=0,
    ) as batches:
        for _ in batches:
            pass
    return sum(plan.images[0] for plan in plans)


def read_make_reader(dataset: Dataset, threads: int) -> int:
    """Read as Petastorm's documentation shows; one pass, which takes so long that starting counts for little."""
    from petastorm import make_reader
    from petastorm.tf_utils import make_petastorm_dataset

    num_images = 0
    with (
        redirect_stdout(None),
        make_reader(
            f"file://{dataset.location}/images",
            schema_fields=["image", "label"],
            num_epochs=1,
            workers_count=threads,
        ) as reader,
    ):
        for batch in make_petastorm_dataset(reader).batch(BATCH_SIZE):
            num_images += len(batch.label)
    return num_images


def read_tfrecord(paths: tuple[str, ...], passes: int, threads: int, buffer: int) -> int:
    """Read as TensorFlow's guide on input performance advises: records are shuffled while they are small."""
    features = {"image": tf.io.FixedLenFeature((), tf.string), "label": tf.io.FixedLenFeature((), tf.int64)}

    def decode(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parsed = tf.io.parse_single_example(record, features)
        image = tf.io.decode_png(parsed["image"], channels=3)
        return tf.ensure_shape(image, (IMAGE_SIZE, IMAGE_SIZE, 3)), parsed["label"]

    options = tf.data.Options()
    options.deterministic = False
    options.threading.private_threadpool_size = threads
    num_images = 0
    for _, labels in (
        tf.data.Dataset.from_tensor_slices(list(paths))
        .interleave(tf.data.TFRecordDataset, cycle_length=len(paths), num_parallel_calls=threads)
        .shuffle(buffer)
        .repeat(passes)
        .map(decode, num_parallel_calls=threads)
        .batch(BATCH_SIZE)
        .prefetch(tf.data.AUTOTUNE)
        .with_options(options)
    ):
        num_images += len(labels)
    return num_images


def scan(dataset: Dataset, decode: Callable[[bytes], np.ndarray], passes: int, threads: int) -> int:
    """Read and decode row groups in threads and do nothing with them."""
    local = threading.local()

    def read(place: tuple[str, int]) -> int:
        path, row_group = place
        files = local.__dict__.setdefault("files", {})
        if path not in files:
            files[path] = pq.ParquetFile(path)
        table = files[path].read_row_group(row_group, columns=["image", "label"], use_threads=False)
        return len([decode(value.as_buffer()) for value in table["image"]])

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(read, row_groups(dataset) * passes))


def decode_with_opencv(encoded: bytes) -> np.ndarray:
    """Decode a PNG to RGB."""
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def view_pixels(stored: bytes) -> np.ndarray:
    """View the pixels in numpy's own format; they are not copied."""
    num_bytes = IMAGE_SIZE * IMAGE_SIZE * 3
    return np.frombuffer(stored, np.uint8)[-num_bytes:].reshape(IMAGE_SIZE, IMAGE_SIZE, 3)


if __name__ == "__main__":
    typer.run(main)
