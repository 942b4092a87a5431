"""The ETL stage as commands run it: with bars, and with what came of it."""

import time
from collections import Counter
from collections.abc import Mapping

from rich.table import Table

from etl.options import EtlOptions
from hvdcells.data.columns import SPLITS
from launch.terminal.console import Console


def show_plan(source: str, dataset: str, options: EtlOptions, console: Console, *, update: bool = False) -> None:
    """Print what the ETL stage would make of a source, as far as can be told before an image is decoded.

    Nothing is written and Spark is not started. Images that turn out unreadable, and copies, are not known yet.

    Raises:
        UserError: the source, the place or the options do not fit, as they would not for the stage itself.
    """
    from etl.plan import UpToDate, plan_etl
    from launch.terminal.progress_bars import ProgressBars

    plan = plan_etl(source, dataset, options, update, ProgressBars(console))
    if isinstance(plan, UpToDate):
        return
    layout, listing = plan.layout, plan.listing
    images: Counter[tuple[str, str]] = Counter()
    for kind, number in listing.num_per_kind.items():
        place = plan.placement.place("", kind)
        split = f"fold {place.fold}" if plan.options.split == "k-fold" and place.fold >= 0 else place.split
        images[layout.class_names[kind.label], "dropped: subject in two splits" if place.dropped else split] += number
    splits = sorted(
        {split for _, split in images}, key=lambda name: (SPLITS.index(name) if name in SPLITS else 9, name)
    )
    table = Table(title=f"Images per class, split {plan.options.split}")
    for name in ("label", "class", *splits):
        table.add_column(name, justify="left" if name == "class" else "right")
    for label, name in enumerate(layout.class_names):
        ill = " (counts as ill)" if name in layout.positive_classes else ""
        table.add_row(str(label), name + ill, *(str(images[name, split]) for split in splits))
    console.print(table)
    rest = Table(title="Everything else")
    for column in ("", "files", ""):
        rest.add_column(column, justify="right" if column == "files" else "left")
    told = (
        ("rejected", listing.rejected),
        ("unlabelled", {"the source gives no label": listing.num_unlabelled}),
        ("left aside", listing.left_aside),
        ("no image", {**layout.other_files, "image that the table does not name": listing.num_unnamed}),
    )
    for what, kinds in told:
        for reason, number in sorted(kinds.items(), key=lambda item: -item[1]):
            if number:
                rest.add_row(what, str(number), reason)
    console.print(rest if rest.row_count else "Nothing is left aside.")
    console.print("Nothing was written. Copies and unreadable images are found when images are decoded.")


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
