"""`hvdcells train`: Horovod on Spark."""

import time
from typing import Annotated

import typer

from launch.commands.arguments import Master, Recipe, Settings, Workers, chosen_experiment

PROCESS_BEGAN = time.time()


def train(
    dataset: Annotated[str, typer.Argument(help="Dataset written by `hvdcells etl`: a folder or s3://….")],
    run: Annotated[str, typer.Argument(help="Where the run directory is made: a new folder or s3://….")],
    workers: Workers = 2,
    recipe: Recipe = "small_cnn",
    epochs: Annotated[int | None, typer.Option(min=1, help="Short for --set training.epochs=N.")] = None,
    settings: Settings = None,
    list_fields: Annotated[bool, typer.Option("--list-fields", help="Print the fields and end.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete an earlier run at RUN.")] = False,
    master: Master = None,
) -> None:
    """Train a classifier on a dataset: one ring-allreduce TensorFlow worker per Spark task.

    Every epoch prints one line: the loss, the weighted F1 on subjects held out for validation, images per second
    over all workers, and where the time of a step went. The model of the best epoch is kept in RUN.
    """
    from rich.console import Console

    import hvdcells

    experiment = chosen_experiment(recipe, settings)
    if epochs is not None:
        experiment = experiment.override({"training.epochs": epochs})
    if list_fields:
        typer.echo(experiment.to_json(), nl=False)
        return
    directory = hvdcells.train(
        dataset, run, experiment, workers=workers, master=master, overwrite=overwrite, began=PROCESS_BEGAN
    )
    finished = directory.read_json(directory.finished)
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"Best epoch: {finished['best_epoch']} of {finished['epochs']}. The run is in {directory.location}")
    console.print(f"Report: {directory.report}")
    console.print(f"Next: hvdcells evaluate {run}")
