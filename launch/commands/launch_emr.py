"""`hvdcells launch emr`: all stages on a GPU cluster of Amazon EMR that ends by itself."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from launch.emr.options import AskedEmr, AskedStages, AskedWorkers, EmrCluster
from launch.terminal.model_options import takes_models

if TYPE_CHECKING:
    from launch.clusters.instances import Catalogue
    from launch.terminal.console import Console

BUILD_HOURS = 0.75
"""For the estimate of building the environment: a guess."""


@takes_models
def emr(
    stages: AskedStages,
    workers: AskedWorkers,
    asked: AskedEmr,
    hours: Annotated[float, typer.Option(help="For the estimate of cost alone.")] = 2.0,
    prices: Annotated[
        str | None, typer.Option(help="A table of machines and prices of your own.", show_default=False)
    ] = None,
    attach: Annotated[
        str | None,
        typer.Option(help="Add the steps to a cluster that runs.", metavar="CLUSTER_ID", show_default=False),
    ] = None,
    build_environment: Annotated[
        bool, typer.Option("--build-environment", help="Build the wheels at --environment, once, and end.")
    ] = False,
    wheel: Annotated[
        Path | None,
        typer.Option(
            help="With --build-environment: the wheel of hvdcells. Left out: built from the sources.",
            show_default=False,
        ),
    ] = None,
    list_machines: Annotated[
        bool, typer.Option("--list-machines", help="Ask EMR which machines --release offers in --region, and end.")
    ] = False,
    notebook_cell: Annotated[
        bool, typer.Option("--notebook-cell", help="Print a notebook's first cell for such a cluster, and end.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Stay, and tell each step's progress.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the request and what it costs; ask nothing of AWS.")
    ] = False,
) -> None:
    """Images → dataset → trained model → scores → report on Amazon EMR.

    The cluster's id is printed as soon as it is known, and the cluster ends after its last step, or when one fails.
    The same command goes on with a run that was interrupted. Machines install wheels that are built once, with
    --build-environment. docs/launch-emr.md leads from an empty account to a trained model.
    """
    from hvdcells.errors import UserError
    from launch.aws.estimate import Machines, estimate
    from launch.clusters.instances import catalogue
    from launch.emr import request as requests
    from launch.emr import submission, wheelhouse
    from launch.emr.notebook import configuring_cell
    from launch.emr.options import ROOT_GIB
    from launch.emr.releases import warning_about
    from launch.terminal.console import Console
    from launch.terminal.estimate_table import print_estimate

    if attach and (build_environment or asked.keep):
        raise UserError(
            f"--attach {attach} with --{'build-environment' if build_environment else 'keep'}",
            "steps for a cluster that runs, or a cluster of its own",
            "leave one of them out",
        )
    table = catalogue(prices)
    if list_machines:
        _list_machines(asked, table)
        return
    if notebook_cell:
        typer.echo(configuring_cell(workers.cluster(table)))
        return
    machines: list[Machines] = []
    if build_environment:
        build = asked.environment_build()
        request, hours = wheelhouse.build_request(build), BUILD_HOURS
        machines = [Machines("builder", wheelhouse.INSTANCE, 1, "emr", ebs_gib=build.ebs_gib + ROOT_GIB)]
        work = _Work(build, lambda s3: wheelhouse.prepare_build(build, s3, wheel))
    else:
        launch = asked.launch(stages, workers.cluster(table), workers.or_instances)
        if attach:  # the machines are paid for already
            request = submission.attach_request(launch, attach)
            work = _Work(launch, lambda s3: submission.prepare_steps(launch, attach, s3), attach)
        else:
            request, machines = submission.planned_request(launch), requests.machines(launch)
            work = _Work(launch, lambda s3: submission.prepare(launch, s3))
    costs = estimate(machines, hours, table)
    if dry_run:
        typer.echo(json.dumps({"request": request, "estimate": costs.to_dict()}, indent=1))
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if machines:
        print_estimate(costs, console)
        warning = warning_about(asked.release, date.today())
        if warning:
            console.print(f"warning: {warning}", style="yellow", markup=False)
    _start(work, console, wait)


def _list_machines(asked: AskedEmr, table: "Catalogue") -> None:
    from launch.aws.clients import client
    from launch.emr.machines import offered_machines
    from launch.terminal.console import Console
    from launch.terminal.machines_table import print_machines

    offered = offered_machines(client("emr", asked.region), asked.release, table)
    print_machines(offered, table, asked.release, Console(highlight=False, soft_wrap=True))


@dataclass(frozen=True)
class _Work:
    """What EMR is asked for."""

    cluster: EmrCluster
    prepare: Callable[[Any], dict[str, Any]]
    """Given a client of S3, puts there what is needed and returns the request."""
    attach: str | None = None
    """The cluster that gets the steps; None for one of its own."""


def _start(work: _Work, console: "Console", wait: bool) -> None:
    """Ask AWS, print the id as soon as there is one, and say how to follow and to stop what was started."""
    from launch.aws.clients import client
    from launch.emr import submission
    from launch.terminal.aws_work import follow_cluster, how_to_stop_cluster, interrupts_held

    region = work.cluster.region
    emr_client, s3 = client("emr", region), client("s3", region)
    added: list[str] = []
    try:
        request = work.prepare(s3)
        with interrupts_held() as interrupted:
            if work.attach:
                cluster_id, added = work.attach, submission.add_steps(emr_client, request)
            else:
                cluster_id = submission.start(emr_client, request)
            typer.echo(cluster_id)
            ends = f"after {work.cluster.idle_minutes} idle minutes" if work.cluster.keep else "after its last step"
            console.print(f"Steps {', '.join(added)} were added." if added else f"The cluster starts; it ends {ends}.")
            console.print(how_to_stop_cluster(cluster_id, region, added))
    except KeyboardInterrupt:
        console.print("Stopped before AWS answered: `aws emr list-clusters --active` lists what runs.")
        raise typer.Exit(130) from None
    if interrupted():
        raise typer.Exit(130)
    if wait:
        follow_cluster(cluster_id, region, tuple(added))
