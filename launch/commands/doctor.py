"""`hvdcells doctor`: everything a run needs, examined beforehand."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from launch.terminal.arguments import Conf, Master, parse_conf

if TYPE_CHECKING:
    from hvdcells.spark.preflight.findings import Finding

COLOURS = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}


def doctor(
    dataset: Annotated[str | None, typer.Option(help="A dataset that is to be trained on.", show_default=False)] = None,
    run: Annotated[
        str | None,
        typer.Option(help="Where a run directory is, or is to be; it is tried and left as it was.", show_default=False),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Ranks of the run. Left out: as many as Spark has slots.", show_default=False),
    ] = None,
    master: Master = None,
    conf: Conf = None,
    wait: Annotated[int, typer.Option(min=1, help="Seconds to wait for Spark's task slots.")] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Examine driver, Spark and every executor before a run; exit code 2 if something would keep it from running.

    Software, Horovod and its allreduce between the executors, slots, network, GPUs, memory, disk, clocks, and whether
    the dataset can be read and the run directory written from everywhere.
    """
    from hvdcells.secrets import without_secrets
    from hvdcells.spark.preflight.findings import gathered
    from launch.doctor.examination import examine
    from launch.terminal.console import Console

    progress = Console(stderr=True, highlight=False)
    with progress.status("driver") as status:
        findings = gathered(examine(master, parse_conf(conf), workers, dataset, run, wait, status.update))
    if as_json:
        typer.echo(without_secrets(json.dumps([asdict(finding) for finding in findings], indent=1)))
    else:
        _print(findings)
    if any(finding.state == "failed" for finding in findings):
        raise typer.Exit(2)


def _print(findings: Sequence["Finding"]) -> None:
    from rich.table import Table
    from rich.text import Text

    from hvdcells.secrets import visible, without_secrets
    from launch.terminal.console import Console

    table = Table("check", "where", "", "found")
    for finding in findings:
        found = Text(visible(without_secrets(finding.found)))
        if finding.state in ("failed", "warning"):
            found.append(visible(f"\nexpected: {without_secrets(finding.expected)}"), "dim")
            found.append(f"\nwhat to do: {without_secrets(finding.remedy)}")
        table.add_row(finding.check, finding.where, Text(finding.state, COLOURS[finding.state]), found)
    console = Console(soft_wrap=False, highlight=False)
    console.print(table)
    counts = {state: sum(finding.state == state for finding in findings) for state in ("failed", "warning")}
    if counts["failed"]:
        console.print(f"{counts['failed']} of {len(findings)} checks failed: a run would not work.", style="red")
    else:
        console.print(f"A run can start ({counts['warning']} warnings)." if counts["warning"] else "A run can start.")
