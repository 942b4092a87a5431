"""`hvdcells check`: prove a dataset sound."""

from typing import Annotated

import typer

from launch.terminal.arguments import Conf, Master, parse_conf


def check(
    dataset: Annotated[str, typer.Argument(help="Dataset written by `hvdcells etl`: a folder or s3://….")],
    workers: Annotated[int, typer.Option(min=1, help="Spark tasks at once on this machine.")] = 2,
    master: Master = None,
    conf: Conf = None,
) -> None:
    """Read all of a dataset and prove it sound; exit code 2 if it is not.

    No subject and no pixel-identical image on two sides of the split, counts as the manifest says, every image decodes.
    """
    from rich.table import Table
    from rich.text import Text

    from etl.verify import verify
    from hvdcells.data.dataset import Dataset
    from hvdcells.spark.session import spark_session
    from launch.terminal.console import Console

    opened = Dataset.open(dataset)
    with spark_session(master, workers, parse_conf(conf)) as spark:
        findings = verify(spark, opened)
    table = Table("claim", "", "against it", title=f"{opened.manifest.written} images of {opened.location}")
    for finding in findings:
        table.add_row(
            finding.claim, Text("holds", "green") if finding.holds else Text("fails", "bold red"), finding.against
        )
    Console(soft_wrap=True).print(table)
    if not all(finding.holds for finding in findings):
        raise typer.Exit(2)
