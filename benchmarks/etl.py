"""How fast the ETL stage is, beside the classic Petastorm recipe and beside the limit of the machine.

    python -m benchmarks.etl --out benchmarks/results/etl.json

About eight minutes on 2 cores; needs some 6 GB of disk for the images and what is made of them.
"""

import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Annotated

import cv2
import numpy as np
import typer

from benchmarks import etl_methods as methods
from benchmarks.harness import (
    OutOption,
    environment,
    print_samples,
    ratio_of,
    run_interleaved,
    significant,
    write_result,
)
from etl import decoding
from etl.options import CNMC_CROP
from etl.synthetic import synthesize
from hvdcells.spark import spark_session

NUM_SUBJECTS = 24
NUM_TURNS = 8


def main(
    out: Annotated[Path, OutOption],
    num_images: Annotated[int, typer.Option(help="Distinct 450×450 BMPs, at least 3,000.")] = 9216,
    rounds: Annotated[int, typer.Option(help="Rounds; the medians count.")] = 3,
    cores: Annotated[int, typer.Option(help="Processes of the limit, task slots of Spark.")] = 2,
    encoding: Annotated[str, typer.Option(help="raw or png.")] = "raw",
    work: Annotated[Path | None, typer.Option(help="Folder for the images, kept for the next time.")] = None,
) -> None:
    """Measure and write the result."""
    folder = work or Path(tempfile.mkdtemp(prefix="etl-benchmark-"))
    source = folder / f"source-{num_images}"
    files = prepare(source, num_images)
    clocks: list[methods.StageClock] = []
    with (
        multiprocessing.get_context("spawn").Pool(cores, methods.warm_process) as pool,
        spark_session(f"local[{cores}]", cores) as spark,
    ):
        pool.map(abs, range(cores))
        cases = {
            "this project": methods.this_project(spark, source, folder / "ours", encoding, clocks),
            "classic Petastorm recipe": methods.classic(spark, files, folder / "classic", encoding),
            "limit: bare loop": methods.limit(pool, files, folder / "limit", encoding),
        }
        samples = run_interleaved({name: _rate(case, num_images) for name, case in cases.items()}, rounds, warmup=1)
    ours, classic, limit = samples
    started = _seconds_from_the_command_line(source, folder / "started", encoding, cores)
    result = {
        "hvdcells_images_per_second": significant(samples[ours].median),
        "classic_images_per_second": significant(samples[classic].median),
        "limit_images_per_second": significant(samples[limit].median),
        "ratio_to_limit": ratio_of(samples, ours, limit),
        "ratio_to_classic": ratio_of(samples, ours, classic),
        "images": num_images,
        "cores": cores,
        "encoding": encoding,
        "hvdcells_images_per_second_with_start": significant(num_images / started),
        "seconds_with_start": significant(started),
        "milliseconds_per_image_of_one_core": milliseconds_per_image(files[:400], encoding),
        "seconds_of_stages": stage_seconds(clocks[1:]),
        "samples": {name: sample.to_json() for name, sample in samples.items()},
        "environment": environment(("pyspark", "petastorm", "pyarrow", "opencv-python-headless", "numpy", "xxhash")),
    }
    print_samples("ETL", "images/s", samples)
    write_result(out, result)


def prepare(source: Path, num_images: int) -> list[str]:
    """Write distinct 450×450 BMPs in the layout of C-NMC, or find them: synthetic cells in all flips and turns."""
    cells_per_subject = -(-num_images // (NUM_TURNS * NUM_SUBJECTS))
    done = source / "complete"
    if not done.exists() or int(done.read_text()) != num_images:
        cells = source.parent / "cells"
        synthesize(cells, NUM_SUBJECTS, cells_per_subject)
        count = 0
        for path in sorted(cells.rglob("UID_*.bmp")) + sorted(cells.rglob("[0-9]*.bmp")):
            image = cv2.imread(str(path))
            for turn in range(NUM_TURNS):
                if count == num_images:
                    break
                label = "all" if count % 2 else "hem"
                subject = f"{'' if count % 2 else 'H'}{count // 2 % 40 + 1}"
                target = source / f"fold_{count // 2 % 40 % 3}" / label / f"UID_{subject}_{count}_1_{label}.bmp"
                target.parent.mkdir(parents=True, exist_ok=True)
                turned = np.rot90(image[:, ::-1] if turn >= 4 else image, turn % 4)
                cv2.imwrite(str(target), np.ascontiguousarray(turned))
                count += 1
        if count < num_images:
            raise RuntimeError(f"{count} images were made, {num_images} were to be")
        done.write_text(str(num_images))
    # In the order of a shuffled listing, so that no method profits from neighbours on disk.
    files = sorted(str(path) for path in source.rglob("*.bmp"))
    return [files[index] for index in np.random.default_rng(0).permutation(len(files))]


def _rate(case: Callable[[int], None], num_images: int) -> Callable[[], float]:
    def measure() -> float:
        began = time.perf_counter()
        case(num_images)
        return num_images / (time.perf_counter() - began)

    return measure


def _seconds_from_the_command_line(source: Path, out: Path, encoding: str, cores: int) -> float:
    command = [sys.executable, "-m", "launch.cli", "etl", str(source), str(out), "--split", "grouped"]
    began = time.perf_counter()
    subprocess.run([*command, "--encoding", encoding, "--workers", str(cores)], check=True, capture_output=True)
    return time.perf_counter() - began


def stage_seconds(clocks: list[methods.StageClock]) -> dict[str, float]:
    """Return the median over runs of the wall time of each stage."""
    runs = [clock.seconds for clock in clocks]
    return {name: significant(median(run[name] for run in runs)) for name in runs[0]}


def milliseconds_per_image(files: list[str], encoding: str) -> dict[str, float]:
    """Time each step of one image by itself, on one core."""
    decoding.use_one_thread()
    spent: dict[str, float] = {}

    def timed(name: str, function: Callable, *arguments: object) -> object:
        began = time.perf_counter()
        result = function(*arguments)
        spent[name] = spent.get(name, 0.0) + time.perf_counter() - began
        return result

    for path in files:
        content = timed("read", Path(path).read_bytes)
        pixels = timed("decode", decoding.decode, content)
        timed("content hash", decoding.content_hash, pixels)
        cut = timed("crop", decoding.centre_square, pixels, CNMC_CROP)
        square = timed("resize", decoding.resize, cut, methods.IMAGE_SIZE)
        timed("perceptual hash", decoding.perceptual_hash, square)
        timed("channel sums", cv2.meanStdDev, square)
        timed("encode", decoding.encode, square, encoding)
    return {name: significant(1e3 * seconds / len(files)) for name, seconds in spent.items()}


if __name__ == "__main__":
    typer.run(main)
