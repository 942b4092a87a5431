"""`hvdcells launch local`: all stages on this machine."""

import time
from typing import Annotated

import typer

from launch.terminal.arguments import Recipe, Settings, Workers

Source = Annotated[str, typer.Option(help="Images, as `hvdcells etl` takes them: a folder, a table, s3://….")]
Dataset = Annotated[str, typer.Option(help="Where the dataset goes, or is: a folder or s3://….")]
Run = Annotated[str, typer.Option(help="Where the run goes, or is: a folder or s3://….")]


def local(
    source: Source,
    dataset: Dataset,
    run: Run,
    workers: Workers = 2,
    recipe: Recipe = "small_cnn",
    settings: Settings = None,
) -> None:
    """Images → dataset → trained model → scores → report, on this machine. What is done already is not done again.

    The same command goes on after an interruption. Options of the ETL stage are given to `hvdcells etl`, before this.
    """
    from rich.console import Console

    from launch.cli import app
    from launch.stages import Pipeline

    console = Console(highlight=False, soft_wrap=True)
    pipeline = Pipeline(source, dataset, run, recipe, settings or [])
    for stage, arguments in pipeline.stages(workers).items():
        if pipeline.is_done(stage):
            console.print(f"{stage}: done already", style="bold")
            continue
        if stage == "evaluate":
            arguments = [*arguments, "--workers", "1"]  # in this process, which is the quickest
        began = time.monotonic()
        app(arguments, standalone_mode=False)
        console.print(f"{stage}: done in {time.monotonic() - began:.0f} s", style="bold")
