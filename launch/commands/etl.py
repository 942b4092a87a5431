"""`hvdcells etl`: images and labels → dataset."""

from typing import Annotated

import typer

from etl.options import EtlOptions
from launch.terminal.arguments import Conf, Master, parse_conf
from launch.terminal.model_options import takes_models

ADDRESS = "local, s3:// or any fsspec address"


@takes_models
def etl(
    source: Annotated[str, typer.Argument(help=f"Folder of images, or a CSV or Parquet table naming them; {ADDRESS}.")],
    dataset: Annotated[str, typer.Argument(help=f"Where the dataset goes: a new or empty folder; {ADDRESS}.")],
    options: EtlOptions,
    update: Annotated[
        bool,
        typer.Option("--update", help="Bring a finished dataset in line with its source; old images stay as they are."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done of every file, and write nothing; without Spark.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Spark tasks at once on this machine.")] = 2,
    master: Master = None,
    conf: Conf = None,
) -> None:
    """Turn labelled images into a dataset that can be trained on.

    Decodes, crops and resizes every image, keeps each subject and all copies of an image on one side of the split, puts
    unusable images into DATASET/rejects with the reason, and writes Parquet that Petastorm reads. A run that was
    interrupted is completed by the same command; a finished one is left alone.
    """
    from launch.terminal.console import Console
    from launch.terminal.etl_stage import make_dataset, show_plan

    console = Console(soft_wrap=True)
    if dry_run:
        show_plan(source, dataset, options, console, update=update)
        return
    make_dataset(
        source, dataset, options, console, update=update, workers=workers, master=master, conf=parse_conf(conf)
    )
    console.print(f"Next: hvdcells train {dataset} RUN", markup=False, highlight=False)
