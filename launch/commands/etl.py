"""`hvdcells etl`: images and labels → dataset."""

import time
from typing import Annotated, Literal

import typer

from launch.terminal.arguments import Conf, Master, parse_conf

ADDRESS = "local, s3:// or any fsspec address"


def etl(
    source: Annotated[str, typer.Argument(help=f"Folder of images, or a CSV or Parquet table naming them; {ADDRESS}.")],
    dataset: Annotated[str, typer.Argument(help=f"Where the dataset goes: a new or empty folder; {ADDRESS}.")],
    layout: Annotated[
        Literal["auto", "cnmc", "folders", "table"],
        typer.Option(help="How labels are found: C-NMC 2019's names, one folder per class, or a table."),
    ] = "auto",
    image_size: Annotated[int, typer.Option(help="Side of the images written, in pixels.")] = 224,
    crop: Annotated[
        int | None,
        typer.Option(
            help="Side of the centre square cut out first, in pixels; 0: the largest. [default: 300 for C-NMC, else 0]",
            show_default=False,
        ),
    ] = None,
    encoding: Annotated[
        Literal["raw", "png"], typer.Option(help="raw is read fastest; png is smaller and slower.")
    ] = "raw",
    split: Annotated[
        Literal["auto", "official", "grouped", "k-fold"],
        typer.Option(help="auto: official where the source brings splits, else grouped. Subjects stay whole in each."),
    ] = "auto",
    proportions: Annotated[
        tuple[float, float, float], typer.Option(help="Shares of train, validation and test for grouped.")
    ] = (0.7, 0.15, 0.15),
    num_folds: Annotated[int, typer.Option(help="Folds of k-fold.")] = 5,
    cancer_class: Annotated[
        str | None,
        typer.Option(help="Class that is cancer (label 1), where the names do not tell.", show_default=False),
    ] = None,
    subject_pattern: Annotated[
        str | None,
        typer.Option(
            help=r"Regular expression that finds the subject in a path (its first group); for folders.",
            show_default=False,
        ),
    ] = None,
    near_duplicates: Annotated[
        Literal["report", "join"], typer.Option(help="join: keep subjects of look-alike images on one side.")
    ] = "report",
    keep_leaks: Annotated[
        bool,
        typer.Option("--keep-leaks", help="Keep copies that official splits put on two sides. Scores will flatter."),
    ] = False,
    max_rejects: Annotated[float, typer.Option(help="Share of images that may be unusable before it fails.")] = 0.01,
    row_group_rows: Annotated[int, typer.Option(help="Most images in a Parquet row group.")] = 32,
    seed: Annotated[int, typer.Option(help="Seed of the order of images and of the splits.")] = 0,
    update: Annotated[
        bool,
        typer.Option("--update", help="Bring a finished dataset in line with its source; old images stay as they are."),
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
    from rich.console import Console

    from etl.options import EtlOptions
    from etl.pipeline import carry_out
    from etl.plan import plan_etl
    from hvdcells.data.dataset import Dataset
    from hvdcells.spark.session import spark_session
    from launch.terminal.dataset_tables import print_dataset
    from launch.terminal.progress_bars import ProgressBars

    options = EtlOptions.of(
        layout=layout,
        image_size=image_size,
        crop=crop,
        encoding=encoding,
        split=split,
        proportions=proportions,
        num_folds=num_folds,
        cancer_class=cancer_class,
        subject_pattern=subject_pattern,
        near_duplicates=near_duplicates,
        keep_leaks=keep_leaks,
        max_rejects=max_rejects,
        row_group_rows=row_group_rows,
        seed=seed,
    )
    settings_of_spark = parse_conf(conf)
    console = Console(soft_wrap=True)
    began = time.monotonic()
    listener = ProgressBars(console)
    # Before Spark starts: wrong input is told, and a finished dataset found, at once.
    plan = plan_etl(source, dataset, options, update, listener)
    if plan.nothing_to_do:
        print_dataset(Dataset.open(dataset), console)
        return
    spark_began = time.monotonic()
    with spark_session(master, workers, settings_of_spark) as spark, listener:
        spark_seconds = time.monotonic() - spark_began
        manifest = carry_out(spark, plan, listener)
        seconds = time.monotonic() - began - spark_seconds
    print_dataset(Dataset.open(dataset), console)
    console.print(
        f"{manifest.listed} images in {seconds:.1f} s ({manifest.listed / seconds:.0f}/s), after {spark_seconds:.1f} s "
        f"of starting Spark. A picture of it: {dataset.rstrip('/')}/overview.png",
        highlight=False,
    )
    console.print(f"Next: hvdcells train {dataset} RUN", markup=False, highlight=False)
