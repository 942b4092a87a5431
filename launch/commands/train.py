"""`hvdcells train`: Horovod on Spark."""

import time
from typing import Annotated

import typer

from launch.commands.arguments import Master, Workers, parse_settings

PROCESS_BEGAN = time.time()


def train(
    dataset: Annotated[str, typer.Argument(help="Dataset written by `hvdcells etl`: a folder or s3://….")],
    run: Annotated[str, typer.Argument(help="Where the run directory is made: a new folder or s3://….")],
    workers: Workers = 2,
    recipe: Annotated[str, typer.Option(help="small_cnn (minutes on a CPU) or mobilenet_v2.")] = "small_cnn",
    epochs: Annotated[int | None, typer.Option(min=1, help="Short for --set training.epochs=N.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Change one field of the recipe, such as optimizer.learning_rate=0.01 or data.batch_size=64; may be "
            "repeated. `hvdcells train DATASET RUN --list-fields` prints all fields with the recipe's values.",
        ),
    ] = None,
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
    from hvdcells import recipes

    changes = parse_settings(settings or [])
    if epochs is not None:
        changes["training.epochs"] = str(epochs)
    experiment = recipes.by_name(recipe).override(changes)
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
