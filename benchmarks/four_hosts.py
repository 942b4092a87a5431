"""ETL, training and evaluation on several hosts, each worker on its own, against one worker.

    python -m benchmarks.four_hosts --out benchmarks/results/four_hosts.json

Lets a cluster of hosts stand in network namespaces of this machine, and runs the commands of a user on it: `hvdcells
etl` once, then `hvdcells train` and `hvdcells evaluate` with each number of workers. The result names the host of every
rank, and the weighted F1 on unseen subjects that each number of workers came to. See docs/scaling.md.
"""

import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.cluster import Cluster, standing_cluster
from benchmarks.harness import OutOption, environment, run_command, write_result
from benchmarks.scaling.processes import run_to_its_end
from etl.demo_cells.generator import synthesize
from hvdcells.errors import UserError
from hvdcells.runs.directory import RunDirectory

MOST_DIFFERENCE = 0.02
"""In weighted F1, that is asked for between one worker and all hosts."""
console = Console(stderr=True, highlight=False, soft_wrap=True)


def run_on(cluster: Cluster, *arguments: str) -> float:
    """Run `hvdcells` as the driver, on the cluster; return the seconds that it took.

    Raises:
        RuntimeError: it failed; the message holds the end of what it said.
    """
    began = time.monotonic()
    command = [sys.executable, "-m", "launch.cli", *arguments, "--master", cluster.master]
    run_to_its_end(cluster.driver_command(command), cluster.environment())
    return round(time.monotonic() - began, 1)


def train_and_evaluate(cluster: Cluster, dataset: str, run: str, workers: int, settings: list[str]) -> dict[str, Any]:
    """Train with so many workers and evaluate on as many; return the scores, and where each rank ran."""
    options = [word for setting in settings for word in ("--set", setting)]
    trained = run_on(cluster, "train", dataset, run, "--workers", str(workers), *options)
    evaluated = run_on(cluster, "evaluate", run, "--split", "test", "--workers", str(workers))
    directory = RunDirectory.at(run)
    finished, epochs = directory.read_json(directory.finished), directory.read_metrics()
    test = directory.read_json(directory.evaluation("test"))
    scores = {
        split: directory.read_json(directory.evaluation(split))["by_image"]["weighted_f1"]
        for split in ("validation", "test")
    }
    return {
        "workers": workers,
        "hosts": finished["hosts"],
        "epochs": finished["epochs"],
        "best_epoch": finished["best_epoch"],
        "validation_weighted_f1": scores["validation"],
        "test_weighted_f1": scores["test"],
        "test_weighted_f1_by_subject": test["by_subject"]["weighted_f1"],
        "images_per_second": epochs[-1]["images_per_second"],
        "train_seconds": trained,
        "evaluate_seconds": evaluated,
    }


def measure(
    hosts: int, workers: list[int], subjects: int, images_per_subject: int, image_size: int, settings: list[str]
) -> dict[str, Any]:
    """Run everything once; return the result."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hvdcells-hosts-")))
        console.print(f"Drawing {subjects * images_per_subject:,} cells of {subjects} subjects.")
        synthesize(folder / "cells", subjects, images_per_subject)
        cluster = stack.enter_context(standing_cluster(hosts))
        if cluster.fallback_reason:
            console.print(
                f"No hosts of their own here: {cluster.fallback_reason}. {cluster.master} stands in for them."
            )
        dataset = str(folder / "dataset")
        etl_seconds = run_on(cluster, "etl", str(folder / "cells"), dataset, "--image-size", str(image_size))
        console.print(f"ETL: {etl_seconds} s")
        runs = []
        for number in workers:
            run = train_and_evaluate(cluster, dataset, str(folder / f"run-{number}"), number, settings)
            console.print(
                f"{number} workers on {', '.join(run['hosts'])}: validation F1 {run['validation_weighted_f1']:.3f}, "
                f"test F1 {run['test_weighted_f1']:.3f}, {run['train_seconds']} s"
            )
            runs.append(run)
    scores = [run["test_weighted_f1"] for run in runs]
    return {
        "benchmark": "four_hosts",
        "hosts": sorted({host for run in runs for host in run["hosts"]}),
        "fallback_reason": cluster.fallback_reason,
        "subjects": subjects,
        "images": subjects * images_per_subject,
        "image_size": image_size,
        "recipe": "small_cnn",
        "settings": settings,
        "etl_seconds": etl_seconds,
        "runs": runs,
        "largest_f1_difference": round(max(scores) - min(scores), 4),
        "every_rank_on_its_own_host": all(len(set(run["hosts"])) == run["workers"] for run in runs),
        "environment": environment(("horovod", "tensorflow", "tf-keras", "pyspark")),
    }


def command(
    out: Annotated[Path, OutOption],
    hosts: Annotated[int, typer.Option(min=1)] = 4,
    workers: Annotated[str, typer.Option(help="Numbers of workers, each no more than the hosts.")] = "1,4",
    subjects: Annotated[int, typer.Option(min=8)] = 40,
    images_per_subject: Annotated[int, typer.Option(min=4)] = 50,
    image_size: Annotated[int, typer.Option(min=16)] = 96,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change one field of the recipe small_cnn.")
    ] = None,
) -> None:
    """Run ETL, training and evaluation on several hosts."""
    try:
        numbers = sorted({int(number) for number in workers.split(",")})
    except ValueError:
        numbers = [0]
    if not 1 <= numbers[0] <= numbers[-1] <= hosts:
        raise UserError(
            f"--workers {workers} on {hosts} hosts", "numbers such as 1,4, up to that of the hosts", "correct --workers"
        )
    result = measure(hosts, numbers, subjects, images_per_subject, image_size, settings or [])
    write_result(out, result)
    difference = result["largest_f1_difference"]
    verdict = "within" if difference <= MOST_DIFFERENCE else "NOT within"
    console.print(f"Test F1 differs by {difference:.3f}, {verdict} {MOST_DIFFERENCE}.")


def main() -> None:
    """Run the command; exit code 2 and one message where the user's input is wrong."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was begun is cleaned up
    run_command(command)


if __name__ == "__main__":
    main()
