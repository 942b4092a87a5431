"""The ETL stage as commands run it: with bars, and with what came of it."""

import time
from collections.abc import Mapping

from rich.console import Console

from etl.options import EtlOptions


def make_dataset(
    source: str,
    dataset: str,
    options: EtlOptions,
    console: Console,
    *,
    update: bool = False,
    workers: int = 2,
    master: str | None = None,
    conf: Mapping[str, str] | None = None,
) -> None:
    """Run the ETL stage with bars, and print what the dataset holds; a finished one is left alone.

    Args:
        source: images.
        dataset: where the dataset goes.
        options: of the ETL stage.
        console: where all of it is printed.
        update: bring a finished dataset in line with its source.
        workers: Spark tasks at once on this machine.
        master: Spark master; None for this machine.
        conf: Spark settings.

    Raises:
        UserError: the source, the place or the options do not fit.
    """
    from etl.pipeline import carry_out
    from etl.plan import UpToDate, plan_etl
    from hvdcells.data.dataset import Dataset
    from hvdcells.spark.session import spark_session
    from launch.terminal.dataset_tables import print_dataset
    from launch.terminal.progress_bars import ProgressBars

    began = time.monotonic()
    listener = ProgressBars(console)
    # Before Spark starts: wrong input is told, and a finished dataset found, at once.
    plan = plan_etl(source, dataset, options, update, listener)
    if isinstance(plan, UpToDate):
        print_dataset(Dataset.open(dataset), console)
        return
    spark_began = time.monotonic()
    with spark_session(master, workers, conf) as spark, listener:
        spark_seconds = time.monotonic() - spark_began
        manifest = carry_out(spark, plan, listener)
        seconds = time.monotonic() - began - spark_seconds
    print_dataset(Dataset.open(dataset), console)
    console.print(
        f"{manifest.listed} images in {seconds:.1f} s ({manifest.listed / seconds:.0f}/s), after {spark_seconds:.1f} s "
        f"of starting Spark. A picture of it: {dataset.rstrip('/')}/overview.png",
        highlight=False,
    )
