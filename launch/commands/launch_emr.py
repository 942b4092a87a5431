"""`hvdcells launch emr`: all stages on a GPU cluster of Amazon EMR that ends by itself."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from launch.terminal.arguments import Recipe, Settings, parse_pairs

if TYPE_CHECKING:
    from rich.console import Console

BUILD_HOURS = 0.75
"""For the estimate of building the environment: a guess."""


PLACES, CLUSTER, ACCOUNT = "Places", "Cluster", "Account"
"""Headings of the help."""


def _option(help: str, *names: str, **more: Any) -> Any:
    """An option that need not be given."""
    return typer.Option(*names, help=help, show_default=False, **more)


def emr(
    source: Annotated[str | None, _option("Images: s3://....", rich_help_panel=PLACES)] = None,
    dataset: Annotated[str | None, _option("Where the dataset goes, or is: s3://....", rich_help_panel=PLACES)] = None,
    run: Annotated[str | None, _option("Where the run goes, or is: s3://....", rich_help_panel=PLACES)] = None,
    environment: Annotated[
        str | None,
        _option("Wheels that nodes install from: s3://.... Left out: beside the run.", rich_help_panel=PLACES),
    ] = None,
    logs: Annotated[
        str | None, _option("Where EMR writes logs: s3://.... Left out: beside the run.", rich_help_panel=PLACES)
    ] = None,
    gpus: Annotated[
        int, typer.Option(min=0, help="GPUs in all, a worker each; 0 for a cluster of CPUs.", rich_help_panel=CLUSTER)
    ] = 4,
    workers: Annotated[int | None, _option("Workers, without GPUs.", min=1, rich_help_panel=CLUSTER)] = None,
    instance: Annotated[
        str | None,
        _option("Workers' machines. Left out: g4dn.xlarge, or m5.2xlarge without GPUs.", rich_help_panel=CLUSTER),
    ] = None,
    primary: Annotated[str, typer.Option(help="The machine that drives.", rich_help_panel=CLUSTER)] = "m5.xlarge",
    spot: Annotated[
        bool, typer.Option("--spot", help="Workers on spot machines, which may be taken away.", rich_help_panel=CLUSTER)
    ] = False,
    bench: Annotated[
        str | None,
        _option("Train for three epochs on each of these numbers of workers instead: 1,2,4,8."),
    ] = None,
    recipe: Recipe = "mobilenet_v2",
    settings: Settings = None,
    region: Annotated[
        str | None, _option("Left out: that of the environment or the AWS profile.", rich_help_panel=ACCOUNT)
    ] = None,
    release: Annotated[str, typer.Option(help="EMR's release label.", rich_help_panel=CLUSTER)] = "emr-7.11.0",
    subnet: Annotated[str | None, _option("Id of a subnet.", rich_help_panel=ACCOUNT)] = None,
    service_role: Annotated[
        str, typer.Option(help="Role that EMR acts in.", rich_help_panel=ACCOUNT)
    ] = "EMR_DefaultRole",
    instance_profile: Annotated[
        str, typer.Option(help="Profile with the machines' rights.", rich_help_panel=ACCOUNT)
    ] = "EMR_EC2_DefaultRole",
    key_name: Annotated[str | None, _option("EC2 key pair for logins.", rich_help_panel=ACCOUNT)] = None,
    security_configuration: Annotated[
        str | None, _option("EMR's security configuration.", rich_help_panel=ACCOUNT)
    ] = None,
    kms_key: Annotated[
        str | None, _option("KMS key for what is uploaded; else S3's own keys.", rich_help_panel=ACCOUNT)
    ] = None,
    ebs_gib: Annotated[int, typer.Option(min=32, help="Disk of each machine.", rich_help_panel=CLUSTER)] = 100,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Keep the cluster after its steps, for more (--attach).", rich_help_panel=CLUSTER),
    ] = False,
    idle_minutes: Annotated[
        int, typer.Option(help="With --keep: EMR ends the cluster after so long.", rich_help_panel=CLUSTER)
    ] = 30,
    tag: Annotated[
        list[str] | None, _option("May be repeated.", "--tag", metavar="KEY=VALUE", rich_help_panel=ACCOUNT)
    ] = None,
    hours: Annotated[float, typer.Option(help="For the estimate of cost alone.")] = 2.0,
    prices: Annotated[str | None, _option("A table of machines and prices of your own.")] = None,
    attach: Annotated[str | None, _option("Add the steps to a cluster that runs.", metavar="CLUSTER_ID")] = None,
    build_environment: Annotated[
        bool, typer.Option("--build-environment", help="Build the wheels at --environment, once, and end.")
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
    from rich.console import Console

    from hvdcells.errors import UserError
    from launch.aws.estimate import Machines, estimate
    from launch.clusters.instances import catalogue
    from launch.terminal.estimate_table import print_estimate
    from launch.emr import request as requests
    from launch.emr import submission, wheelhouse
    from launch.emr.options import ROOT_GIB

    if attach and (build_environment or keep):
        raise UserError(
            f"--attach {attach} with --{'build-environment' if build_environment else 'keep'}",
            "steps for a cluster that runs, or a cluster of its own",
            "leave one of them out",
        )
    table = catalogue(prices)
    launch = _launch(
        {
            "source": source,
            "dataset": dataset,
            "run": run,
            "environment": environment,
            "logs": logs,
            "needs_pipeline": not build_environment,
        },
        _cluster(table, gpus, workers, instance, primary, spot),
        recipe=recipe,
        settings=settings or [],
        bench=bench,
        region=region,
        release=release,
        subnet=subnet,
        service_role=service_role,
        instance_profile=instance_profile,
        key_name=key_name,
        security_configuration=security_configuration,
        kms_key=kms_key,
        ebs_gib=ebs_gib,
        keep=keep,
        idle_minutes=idle_minutes,
        tags=parse_pairs("--tag", tag),
    )
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if build_environment:
        request, hours = wheelhouse.build_request(launch), BUILD_HOURS
        machines = [Machines("builder", wheelhouse.INSTANCE, 1, "emr", ebs_gib=ebs_gib + ROOT_GIB)]
    elif attach:
        request, machines = submission.attach_request(launch, attach), []  # they are paid for already
    else:
        request, machines = submission.planned_request(launch), requests.machines(launch)
    costs = estimate(machines, hours, table)
    if dry_run:
        typer.echo(json.dumps({"request": request, "estimate": costs.to_dict()}, indent=1))
        return
    if machines:
        print_estimate(costs, console)
    _start(launch, console, build_environment, attach, wait)


def _start(launch: Any, console: "Console", build_environment: bool, attach: str | None, wait: bool) -> None:
    """Ask AWS, print the id as soon as there is one, and say how to follow and to stop what was started."""
    from launch.aws.clients import client
    from launch.commands.emr import follow_to_the_end, how_to_stop, interrupts_held
    from launch.emr import submission, wheelhouse

    emr_client, s3 = client("emr", launch.region), client("s3", launch.region)
    added: list[str] = []
    try:
        request = None
        if not attach:
            request = wheelhouse.prepare_build(launch, s3) if build_environment else submission.prepare(launch, s3)
        with interrupts_held() as interrupted:
            if attach:
                cluster_id, added = attach, submission.attach_steps(launch, attach, emr_client, s3)
            else:
                cluster_id = submission.start(emr_client, request)
            typer.echo(cluster_id)
            ends = f"after {launch.idle_minutes} idle minutes" if launch.keep else "after its last step"
            console.print(f"Steps {', '.join(added)} were added." if added else f"The cluster starts; it ends {ends}.")
            console.print(how_to_stop(cluster_id, launch.region, added))
    except KeyboardInterrupt:
        console.print("Stopped before AWS answered: `aws emr list-clusters --active` lists what runs.")
        raise typer.Exit(130) from None
    if interrupted():
        raise typer.Exit(130)
    if wait:
        follow_to_the_end(cluster_id, launch.region, tuple(added))


def _cluster(table: Any, gpus: int, workers: int | None, instance: str | None, primary: str, spot: bool) -> Any:
    from hvdcells.errors import UserError
    from launch.clusters.spec import ClusterSpec

    if gpus and workers and gpus != workers:
        raise UserError(
            f"--gpus {gpus} and --workers {workers}", "a worker for each GPU", "leave --workers out, or give --gpus 0"
        )
    chosen = instance or ("g4dn.xlarge" if gpus else "m5.2xlarge")
    known = table.named(chosen)
    if gpus and not known.num_gpus:
        raise UserError(
            f"--gpus {gpus} on {chosen}, which has none", "machines with GPUs", "correct --instance, or give --gpus 0"
        )
    return ClusterSpec.of(
        table,
        worker_instance=chosen,
        primary_instance=primary,
        num_executors=gpus or workers or 2,
        num_gpus=None if gpus else 0,
        price_model="spot" if spot else None,
    )


def _launch(
    places: dict[str, Any],
    cluster: Any,
    recipe: str,
    settings: list[str],
    bench: str | None,
    region: str | None,
    **options: Any,
) -> Any:
    from hvdcells import storage
    from hvdcells.errors import UserError, raise_together
    from launch.aws.clients import default_region
    from launch.emr.options import EmrLaunch
    from launch.stages import Pipeline

    asked = ("source", "dataset", "run") if places["needs_pipeline"] else ("environment", "logs")
    raise_together(
        UserError(f"no --{name}", "an s3:// address", f"give --{name}") for name in asked if not places[name]
    )
    beside = storage.join(places["run"].rstrip("/").rpartition("/")[0], "hvdcells") if places["run"] else ""
    nowhere = places["environment"] or f"{beside}/environment"
    return EmrLaunch(
        Pipeline(places["source"] or nowhere, places["dataset"] or nowhere, places["run"] or nowhere, recipe, settings),
        cluster,
        nowhere,
        places["logs"] or f"{beside}/logs",
        region or default_region(),
        bench=tuple(_numbers(bench)),
        **options,
    )


def _numbers(text: str | None) -> list[int]:
    from hvdcells.errors import UserError

    try:
        return [int(word) for word in text.split(",")] if text else []
    except ValueError:
        raise UserError(f"--bench {text}", "numbers of workers such as 1,2,4,8", "correct --bench") from None
