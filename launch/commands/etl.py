"""`hvdcells etl`: images and labels → dataset."""

from typing import Annotated, Literal

import typer


def etl(
    source: Annotated[
        str, typer.Argument(help="Folder of images or table that names them; local, s3:// or any fsspec address.")
    ],
    dataset: Annotated[str, typer.Argument(help="Where the dataset goes; likewise.")],
    layout: Annotated[
        Literal["auto", "cnmc", "folders", "table"], typer.Option(help="How labels and subjects are found.")
    ] = "auto",
    image_size: Annotated[int, typer.Option(help="Side of the images written, in pixels.")] = 224,
    crop: Annotated[
        int | None,
        typer.Option(
            help="Side of the centre square cut out first, in pixels; 0: the largest. Default: 300 for C-NMC, 0 otherwise."
        ),
    ] = None,
    encoding: Annotated[Literal["raw", "png"], typer.Option(help="raw reads fastest, png is smallest.")] = "raw",
    split: Annotated[
        Literal["auto", "official", "grouped", "k-fold"],
        typer.Option(help="How images are divided; subjects stay whole."),
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of order and splits.")] = 0,
    max_rejects: Annotated[float, typer.Option(help="Share of images that may be unusable.")] = 0.01,
    update: Annotated[bool, typer.Option("--update", help="Bring a finished dataset in line with its source.")] = False,
    workers: Annotated[int, typer.Option(help="Spark tasks at once in local mode.")] = 2,
    master: Annotated[str | None, typer.Option(help="Spark master; default: this machine.")] = None,
) -> None:
    """Turn images and labels into a dataset that can be trained on."""
    from etl.options import EtlOptions
    from etl.pipeline import run_etl
    from hvdcells.spark import spark_session

    options = EtlOptions.of(
        layout=layout,
        image_size=image_size,
        crop=crop,
        encoding=encoding,
        split=split,
        seed=seed,
        max_rejects=max_rejects,
    )
    with spark_session(master, workers) as spark:
        manifest = run_etl(spark, source, dataset, options, update)
    print(manifest.to_json()[:3000])
