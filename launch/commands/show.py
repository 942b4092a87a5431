"""`hvdcells show`: what a dataset holds."""

from typing import Annotated

import typer


def show(
    dataset: Annotated[str, typer.Argument(help="Dataset written by `hvdcells etl`: a folder or s3://….")],
) -> None:
    """Print what a dataset holds, from its manifest: splits, classes, subjects, leakage, rejects, size."""
    from rich.console import Console

    from hvdcells.dataset import Dataset
    from launch.commands.dataset_tables import print_dataset

    print_dataset(Dataset.open(dataset), Console(soft_wrap=True))
