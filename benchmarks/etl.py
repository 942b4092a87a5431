"""How fast the ETL stage is, beside the classic Petastorm recipe and beside the limit of the machine.

    python -m benchmarks.etl --out benchmarks/results/etl.json

About twelve minutes on 2 cores; needs some 20 GB of disk for the images and what is made of them. A minute shows that
all of it runs:

    python -m benchmarks.etl --num-images 64 --rounds 1 --out FILE.json
"""

import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from benchmarks import etl_methods as methods
from benchmarks.etl_images import link, prepare
from benchmarks.harness import (
    OutOption,
    Sample,
    environment,
    print_samples,
    ratio_of,
    run_interleaved,
    significant,
    write_result,
)
from etl.images import normalise
from etl.options import CNMC_CROP
from hvdcells.data.checksums import pixel_hash
from hvdcells.data.columns import ImageEncoding
from hvdcells.data.stored_images import ImageColumn
from hvdcells.images import prepare as steps
from hvdcells.images.decode import decode
from hvdcells.spark.session import spark_session

NUM_WARM_UP_IMAGES = 1024
ENCODINGS: tuple[ImageEncoding, ...] = ("raw", "png")
OURS, COPIES, CLASSIC, LIMIT = (
    "this project",
    "this project, with copies",
    "classic Petastorm recipe",
    "limit: bare loop",
)


def main(
    out: Annotated[Path, OutOption],
    num_images: Annotated[
        int, typer.Option(min=64, help="Distinct 450×450 BMPs. The default is the size of C-NMC 2019.")
    ] = 15_114,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the medians count.")] = 3,
    cores: Annotated[int, typer.Option(help="Processes of the limit, task slots of Spark.")] = 2,
    work: Annotated[Path | None, typer.Option(help="Folder for the images, kept for the next time.")] = None,
) -> None:
    """Measure and write the result."""
    # Petastorm's and pyarrow's notices about old parts of theirs, in the workers too.
    os.environ.setdefault("PYTHONWARNINGS", "ignore::FutureWarning")
    with ExitStack() as stack:
        folder = work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="etl-benchmark-")))
        samples, result = measure(folder, num_images, rounds, cores)
    print_samples("ETL", "images/s", samples)
    write_result(out, result)


def measure(folder: Path, num_images: int, rounds: int, cores: int) -> tuple[dict[str, Sample], dict[str, Any]]:
    """Measure; return the rates of each case, and the result."""
    source, few, copied = (folder / f"{name}-{num_images}" for name in ("source", "few", "copied"))
    files = prepare(source, num_images)
    link(files, source, copied, with_copies=True)
    link(files[:NUM_WARM_UP_IMAGES], source, few)
    clocks: dict[str, list[methods.StageClock]] = {}
    with (
        multiprocessing.get_context("spawn").Pool(cores, methods.warm_process) as pool,
        spark_session(f"local[{cores}]", cores) as spark,
    ):
        # All into the page cache, where there is room: no method is to wait for the disk, nor to warm it for another.
        pool.map(methods.read_whole, files, chunksize=256)

        def cases_of(of: Path, copied_of: Path, files: list[str]) -> dict[str, Callable[[], None]]:
            cases: dict[str, Callable[[], None]] = {}
            for encoding in ENCODINGS:
                to = folder / "made" / encoding
                cases |= {
                    _case(OURS, encoding): methods.this_project(
                        spark, of, to / "ours", encoding, clocks.setdefault(encoding, [])
                    ),
                    _case(CLASSIC, encoding): methods.classic(spark, files, to / "classic", encoding),
                    _case(LIMIT, encoding): methods.limit(pool, files, to / "limit", encoding),
                }
            to = folder / "made" / "copies"
            cases[COPIES] = methods.this_project(spark, copied_of, to, "raw", clocks.setdefault(COPIES, []))
            return cases

        for warm_up in cases_of(few, few, files[:NUM_WARM_UP_IMAGES]).values():
            warm_up()
        for noted in clocks.values():
            noted.clear()
        measured = {name: _rate(case, num_images) for name, case in cases_of(source, copied, files).items()}
        samples = run_interleaved(measured, rounds, warmup=0)
    started = _seconds_from_the_command_line(source, folder / "made" / "started", cores)
    raw, png = (_block(samples, encoding, clocks[encoding], files) for encoding in ENCODINGS)
    return samples, raw | {
        "images": num_images,
        "cores": cores,
        "encoding": "raw",
        "hvdcells_images_per_second_with_start": significant(num_images / started),
        "seconds_with_start": significant(started),
        "png": png,
        "with_copies": {
            "hvdcells_images_per_second": significant(samples[COPIES].median),
            "ratio_to_limit": ratio_of(samples, COPIES, _case(LIMIT, "raw")),
            "ratio_to_classic": ratio_of(samples, COPIES, _case(CLASSIC, "raw")),
            "seconds_of_stages": stage_seconds(clocks[COPIES]),
        },
        "samples": {name: sample.to_json() for name, sample in samples.items()},
        "environment": environment(("pyspark", "petastorm", "pyarrow", "opencv-python-headless", "numpy", "xxhash")),
    }


def _case(name: str, encoding: str) -> str:
    return f"{name}, {encoding}"


def _block(
    samples: Mapping[str, Sample], encoding: ImageEncoding, clocks: list[methods.StageClock], files: list[str]
) -> dict[str, Any]:
    """Return what was measured with one encoding."""
    ours, classic, limit = (_case(name, encoding) for name in (OURS, CLASSIC, LIMIT))
    return {
        "hvdcells_images_per_second": significant(samples[ours].median),
        "classic_images_per_second": significant(samples[classic].median),
        "limit_images_per_second": significant(samples[limit].median),
        "ratio_to_limit": ratio_of(samples, ours, limit),
        "ratio_to_classic": ratio_of(samples, ours, classic),
        "milliseconds_per_image_of_one_core": milliseconds_per_image(files[:400], encoding),
        "seconds_of_stages": stage_seconds(clocks),
    }


def _rate(case: Callable[[], None], num_images: int) -> Callable[[], float]:
    def measure() -> float:
        began = time.perf_counter()
        case()
        return num_images / (time.perf_counter() - began)

    return measure


def _seconds_from_the_command_line(source: Path, out: Path, cores: int) -> float:
    # Not a finished dataset of an earlier time, of which nothing would have to be done.
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "launch.cli", "etl", str(source), str(out), "--split", "grouped"]
    began = time.perf_counter()
    subprocess.run([*command, "--workers", str(cores)], check=True, capture_output=True)
    return time.perf_counter() - began


def stage_seconds(clocks: list[methods.StageClock]) -> dict[str, float]:
    """Return the median over runs of the wall time of each stage."""
    runs = [clock.seconds for clock in clocks]
    return {name: significant(median(run[name] for run in runs)) for name in runs[0]}


def milliseconds_per_image(files: list[str], encoding: ImageEncoding) -> dict[str, float]:
    """Time each step of one image by itself, on one core."""
    steps.use_one_thread()
    column = ImageColumn(1, methods.IMAGE_SIZE, encoding)
    spent: dict[str, float] = {}

    def timed(name: str, function: Callable, *arguments: object) -> object:
        began = time.perf_counter()
        result = function(*arguments)
        spent[name] = spent.get(name, 0.0) + time.perf_counter() - began
        return result

    for path in files:
        content = timed("read", Path(path).read_bytes)
        pixels = timed("decode", decode, content)
        timed("content hash", pixel_hash, pixels)
        cut = timed("crop", steps.centre_square, pixels, CNMC_CROP)
        square = timed("resize", steps.resize, cut, methods.IMAGE_SIZE)
        timed("stored hash", pixel_hash, square)
        timed("perceptual hash", normalise.perceptual_hash, square)
        timed("channel sums", _channel_sums, square)
        timed("encode", column.add, square)
        column.take()
    return {name: significant(1e3 * seconds / len(files)) for name, seconds in spent.items()}


def _channel_sums(square: np.ndarray) -> list[float]:
    planes = cv2.split(square)
    return [cv2.norm(plane, kind) for plane in planes for kind in (cv2.NORM_L1, cv2.NORM_L2SQR)]


if __name__ == "__main__":
    typer.run(main)
