"""Where the seconds go from `hvdcells train` to the first step of two workers.

    python -m benchmarks.start_up --out FILE.json

Runs the command itself, again and again, on a small dataset of demonstration cells, and reads the times that
the run directory keeps. A second case takes turns with the first: every rank started by Horovod alone, as on a
cluster, instead of forked from the rank server.
"""

import os
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.harness import OutOption, Sample, environment, print_samples, write_result
from etl.demo_cells.generator import synthesize
from etl.options import EtlOptions
from etl.pipeline import run_etl
from hvdcells.runs.directory import RunDirectory
from hvdcells.spark.backends.horovod_on_spark import RANK_SERVER_VARIABLE
from hvdcells.spark.session import spark_session

CASES = {"as it is": {}, "without the rank server": {RANK_SERVER_VARIABLE: "0"}}
NUM_WORKERS = 2


def make_dataset(folder: Path) -> str:
    """Make a dataset the size of the demonstration's images, with few of them."""
    synthesize(folder / "images", num_subjects=8, images_per_subject=8)
    with spark_session(slots=NUM_WORKERS) as spark:
        run_etl(spark, folder / "images", folder / "dataset", EtlOptions(image_size=96))
    return str(folder / "dataset")


def start_once(dataset: str, run: Path, changes: dict[str, str]) -> dict[str, float]:
    """Run the command once; return seconds from its start to the end of each part, on the slower rank."""
    command = [str(Path(sys.executable).parent / "hvdcells"), "train", dataset, str(run), "--epochs", "1"]
    subprocess.run(
        [*command, "--workers", str(NUM_WORKERS)], env={**os.environ, **changes}, check=True, capture_output=True
    )
    directory = RunDirectory.at(run)
    times = directory.read_json(directory.finished)["start_up_seconds"]
    ranks = times.pop("ranks")
    return times | {part: max(rank[part] for rank in ranks) for part in ranks[0]}


def main(
    out: Annotated[Path, OutOption],
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    warm_up: Annotated[int, typer.Option(min=0, help="Rounds before them, which fill the page cache.")] = 1,
) -> None:
    """Measure the start of `hvdcells train` with the small CNN on two workers."""
    measured: dict[str, list[dict[str, float]]] = {case: [] for case in CASES}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        dataset = make_dataset(folder)
        for number in range(-warm_up, rounds):
            for case in list(CASES)[:: 1 if number % 2 else -1]:
                times = start_once(dataset, folder / f"{case}-{number}", CASES[case])
                typer.echo(f"round {number + 1}/{rounds}  {case:<24} first step after {times['first_step']:.1f} s")
                if number >= 0:
                    measured[case].append(times)
    cases = {}
    for case, runs in measured.items():
        in_order = sorted(runs[0], key=runs[0].__getitem__)
        reached = {part: Sample(tuple(times[part] for times in runs)) for part in in_order}
        print_samples(f"Start-up, {case}: seconds from the command to the end of each part", "s", reached)
        medians = [("command", 0.0), *((part, sample.median) for part, sample in reached.items())]
        cases[case] = {
            "first_step_seconds": reached["first_step"].to_json(),
            "seconds_of_each_part": {part: round(end - begin, 2) for (_, begin), (part, end) in pairwise(medians)},
        }
    parts = {
        "train called": "start of Python and the command's own imports",
        "spark": "the JVM and the Spark session; meanwhile Horovod is imported here, TensorFlow in the rank server",
        "process": "Spark tasks, Horovod's registration, start of the ranks' processes",
        "imports": "TensorFlow, tf_keras, Petastorm, where the rank server has not done it",
        "horovod": "hvd.init: rendezvous and connections",
        "model": "model, optimizer, broadcast",
        "first_step": "reader, tracing and the first training step",
    }
    write_result(
        out,
        {
            "benchmark": "start_up",
            "workers": NUM_WORKERS,
            "rounds": rounds,
            "cases": cases,
            "parts": parts,
            "environment": environment(("horovod", "tensorflow", "tf-keras", "pyspark")),
        },
    )


if __name__ == "__main__":
    typer.run(main)
