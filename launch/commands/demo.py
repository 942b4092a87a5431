"""`hvdcells demo`: the whole way of an image, on demonstration cells."""

import time
from pathlib import Path
from typing import Annotated

import typer

from launch.terminal.arguments import Conf, Master, Workers, parse_conf

IMAGE_SIZE = 96
"""What the small CNN takes, so that nothing is resized twice."""


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the images, the dataset and the runs.")] = Path("demo"),
    workers: Workers = 2,
    seed: Annotated[int, typer.Option(help="Draws other cells and other first weights.")] = 0,
    master: Master = None,
    conf: Conf = None,
) -> None:
    """Run everything once, on 480 synthetic cells: images → Spark ETL → two Horovod workers → F1 on unseen subjects.

    Takes a few minutes on two cores. The steps are those of the other commands, which are printed at the end.
    """
    import hvdcells
    from etl.demo_cells.generator import synthesize
    from etl.options import EtlOptions
    from etl.pipeline import run_etl
    from hvdcells.spark.session import spark_session
    from launch.terminal.console import Console
    from launch.terminal.evaluation_tables import print_evaluation

    began = time.time()
    console = Console(highlight=False, soft_wrap=True)
    images, dataset, run = out / "images", out / "dataset", _free_run(out)

    console.rule("1. Synthetic cells in the layout of C-NMC 2019")
    summary = synthesize(images, seed=seed)
    console.print(summary.marker.notice, style="bold yellow")
    with spark_session(master, workers, parse_conf(conf)) as spark:
        console.rule("2. Spark ETL: images → Parquet through Petastorm")
        manifest = run_etl(spark, images, dataset, EtlOptions(layout="cnmc", image_size=IMAGE_SIZE, seed=seed))
        for name, split in manifest.splits.items():
            console.print(f"{name}: {split.images} images of {len(split.images_per_subject)} subjects")
        console.rule(f"3. Training on {workers} workers: horovod.spark.run")
        experiment = hvdcells.recipes.small_cnn().override({"seed": seed})
        hvdcells.train(dataset, run, experiment, workers=workers, master=master)
    console.rule("4. Evaluation on subjects the model has not seen")
    evaluation = hvdcells.evaluate(run)
    print_evaluation(evaluation, console)
    by_subject = evaluation.by_subject or evaluation.by_image
    scores = f"{evaluation.by_image['weighted_f1']:.4f} by image, {by_subject['weighted_f1']:.4f} by subject"
    console.print(f"\nWeighted F1 {scores}", style="bold", end="")
    console.print(f", on synthetic cells, after {time.time() - began:.0f} s. The run is in {run.resolve()}")
    console.print(f"Report: {run.resolve()}/report.html")
    console.print(
        "\nThe same on your own data, a folder in a C-NMC layout for example:\n"
        "  hvdcells etl SOURCE DATASET\n"
        "  hvdcells train DATASET RUN --workers 2\n"
        "  hvdcells evaluate RUN --split test",
        markup=False,
    )


def _free_run(out: Path) -> Path:
    """Return the first run directory that is not there yet, so that a second demonstration keeps the first."""
    number = 1
    while (out / f"run-{number}").exists():
        number += 1
    return out / f"run-{number}"
