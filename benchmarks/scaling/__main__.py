"""How throughput grows with the cluster: the same experiment on 1, 2, 4, … workers.

    python -m benchmarks.scaling --workers 1,2 --mode both --input both
    python -m benchmarks.scaling --master spark://host:7077 --workers 1,2,4,8 --input both --dataset s3://b/dataset

Weak scaling holds the batch of a rank, strong scaling the global batch. Ranks are started and take their steps as in
`hvdcells train`. Each point is one JSON file; what is there already is not measured again. See docs/scaling.md.
"""

import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness import run_command
from benchmarks.scaling.plan import PlannedPoint, Request, plan
from benchmarks.scaling.point import Input, Mode, read_point, scaling_efficiencies
from benchmarks.scaling.sweep import run_sweep
from etl.demo_cells.generator import synthesize
from etl.options import EtlOptions
from etl.pipeline import run_etl
from hvdcells.data.dataset import Dataset
from hvdcells.data.manifest import MANIFEST_NAME
from hvdcells.errors import UserError
from hvdcells.spark.session import spark_session
from launch.terminal.arguments import Conf, Recipe, Settings, chosen_experiment, parse_conf, parse_settings

RESULTS = Path(__file__).parents[1] / "results" / "scaling"
console = Console(highlight=False, soft_wrap=True)


def command(
    workers: Annotated[str, typer.Option(help="Numbers of workers.")] = "1,2",
    master: Annotated[
        str | None, typer.Option(help="Any Spark master; left out: this machine, a slot for each worker.")
    ] = None,
    mode: Annotated[
        Literal["weak", "strong", "both"], typer.Option(help="What is held: a rank's batch, or all.")
    ] = "both",
    input: Annotated[Literal["memory", "dataset", "both"], typer.Option(help="Where images come from.")] = "memory",
    dataset: Annotated[
        str | None, typer.Option(help="Real input, all hosts can read it; left out: synthetic cells are drawn.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder in which drawn cells are kept from run to run; none: a temporary one.")
    ] = None,
    recipe: Recipe = "small_cnn",
    settings: Settings = None,
    global_batch: Annotated[
        int | None,
        typer.Option(min=1, help="Of strong scaling; left out: a rank's, rounded up to what all workers divide."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Compute threads of a rank; left out, on this machine: cores / most workers."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Samples of each point, each a start of its own.")] = 3,
    steps: Annotated[
        int, typer.Option(min=1, help="Of a block; blocks with and without communication alternate.")
    ] = 10,
    blocks: Annotated[int, typer.Option(min=1, help="Of each kind, in a sample.")] = 4,
    warmup: Annotated[int, typer.Option(min=2, help="Steps of each kind before them, which do not count.")] = 6,
    usd_per_hour: Annotated[float | None, typer.Option(min=0, help="Price of a host, for the cost.")] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Name of what it runs on, in files and plots; left out: local, or the master.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Measure anew what is there already.")] = False,
    conf: Conf = None,
    start_timeout: Annotated[int, typer.Option(min=1, help="Seconds to wait for a slot for each worker.")] = 600,
    out: Annotated[Path, typer.Option(help="Folder of the points.", file_okay=False)] = RESULTS,
) -> None:
    """Measure the same experiment on several numbers of workers."""
    given = parse_settings(settings or [])
    experiment = chosen_experiment(recipe, settings)
    if "data.cache_bytes" not in given:
        # Larger clusters are for datasets that do not fit in memory.
        experiment = experiment.override({"data.cache_bytes": 0})
    request = Request(
        experiment=experiment,
        workers=numbers_of(workers),
        modes=get_args(Mode) if mode == "both" else (mode,),
        inputs=get_args(Input) if input == "both" else (input,),
        master=master,
        cluster=cluster or _cluster_name(master),
        global_batch=global_batch,
        threads=threads,
        steps=steps,
        blocks=blocks,
        warmup_steps=warmup,
        conf=parse_conf(conf),
        start_timeout_seconds=start_timeout,
    )
    plan(request, Dataset.open(dataset) if dataset else None)  # refuses before cells are drawn
    with ExitStack() as stack:
        if "dataset" in request.inputs and dataset is None:
            folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hvdcells-scaling-")))
            dataset = make_dataset(folder, experiment.data.input_size or 224, max(request.workers))
        opened = Dataset.open(dataset) if dataset and "dataset" in request.inputs else None
        points = plan(request, opened)
        failures = run_sweep(points, out, rounds, usd_per_hour, again)
    print_points(points, out)
    if failures:
        Console(stderr=True, soft_wrap=True).print("\n".join(failures), style="red", markup=False, highlight=False)
        raise typer.Exit(1)


def make_dataset(folder: Path, image_size: int, num_workers: int) -> str:
    """Draw demonstration cells and make a dataset of them, with enough row groups for so many workers."""
    cells_per_subject = max(20, 4 * num_workers)
    folder = folder / f"{image_size}-pixels-{cells_per_subject}-cells-per-subject"
    if not (folder / "dataset" / MANIFEST_NAME).exists():
        console.print("Drawing synthetic cells and writing a dataset of them.")
        synthesize(folder / "cells", num_subjects=24, images_per_subject=cells_per_subject)
        with spark_session(slots=2) as spark:
            run_etl(spark, folder / "cells", folder / "dataset", EtlOptions(image_size=image_size, row_group_rows=16))
    return str(folder / "dataset")


def print_points(planned: list[PlannedPoint], folder: Path) -> None:
    """Print the points of a sweep, those that have been measured."""
    points = [read_point(folder / each.file_name) for each in planned if (folder / each.file_name).exists()]
    table = Table(title="Scaling")
    for column in ("", "input", "workers", "hosts", "batch", "images/s", "±", "scaling", "comm."):
        table.add_column(column, justify="left" if column in ("", "input") else "right")
    for point in points:
        efficiency = scaling_efficiencies(p for p in points if p.series == point.series).get(point.world_size)
        table.add_row(
            point.mode,
            point.input,
            str(point.world_size),
            ", ".join(dict.fromkeys(point.hosts)),
            str(point.batch_size_per_rank),
            f"{point.images_per_second:,.1f}",
            f"{point.images_per_second_spread:.0%}",
            "–" if efficiency is None else f"{efficiency:.0%}",
            "–" if point.communication_efficiency is None else f"{point.communication_efficiency:.0%}",
        )
    console.print(table)
    for note in dict.fromkeys(note for point in points for note in point.notes):
        console.print(f"Note: {note}", markup=False)


def numbers_of(text: str) -> tuple[int, ...]:
    """Return the numbers of workers of a text such as 1,2,4.

    Raises:
        UserError: it is not of that form.
    """
    try:
        numbers = tuple(sorted({int(number) for number in text.split(",")}))
    except ValueError:
        numbers = ()
    if not numbers or numbers[0] < 1:
        raise UserError(f"--workers {text}", "numbers of at least 1, such as 1,2,4", "correct --workers")
    return numbers


def _cluster_name(master: str | None) -> str:
    return "local" if master is None or master.startswith("local[") else master.partition("://")[0].partition("[")[0]


def main() -> None:
    """Run the command; exit code 2 and one message where the user's input is wrong."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was begun is cleaned up
    run_command(command)


if __name__ == "__main__":
    main()
