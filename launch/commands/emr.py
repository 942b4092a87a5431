"""`hvdcells emr`: what follows a cluster that runs."""

from typing import Annotated, Any, Literal

import typer

from launch.terminal.aws_work import Region, follow_cluster

ClusterId = Annotated[str, typer.Argument(help="Such as j-2AXXXXXXGAPLF; `hvdcells launch emr` prints it.")]

Place = Annotated[str, typer.Option(help="s3://BUCKET/FOLDER")]
emr = typer.Typer(no_args_is_help=True, help="Amazon EMR: an account's setup, and a cluster's status, logs, end.")


@emr.command()
def setup(
    source: Place,
    dataset: Place,
    run: Annotated[str, typer.Option(help="The folder of all runs: s3://BUCKET/FOLDER")],
    environment: Annotated[str | None, typer.Option(help="Left out: below the runs.", show_default=False)] = None,
    logs: Annotated[str | None, typer.Option(help="Left out: below the runs.", show_default=False)] = None,
) -> None:
    """Print what an account needs once, as a CloudFormation template; nothing is asked of AWS.

    Roles, the launcher's policy and, where a network is named, its gateway endpoint for S3. To apply it, also again:
    aws cloudformation deploy --template-file FILE --stack-name hvdcells --capabilities CAPABILITY_NAMED_IAM
    """
    import json

    from hvdcells import storage
    from launch.emr.setup import setup_template

    places = {
        "source": source,
        "dataset": dataset,
        "run": run,
        "environment": environment or storage.join(run, "hvdcells/environment"),
        "logs": logs or storage.join(run, "hvdcells/logs"),
    }
    typer.echo(json.dumps(setup_template(places), indent=1))


@emr.command()
def status(cluster_id: ClusterId, region: Region = None) -> None:
    """Tell what a cluster and each of its steps are doing. Exit code 1 if a step or the cluster failed."""
    from rich.table import Table

    from launch.aws.clients import client
    from launch.emr.cluster_state import state_of
    from launch.terminal.console import Console

    state = state_of(client("emr", region), cluster_id)
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{state.id} ({state.name}): {state.state.lower()}" + (f", {state.reason}" if state.reason else ""),
        markup=False,
    )
    table = Table("step", "name", "state", "seconds", "reason")
    for step in state.steps:
        took = "" if step.seconds is None else f"{step.seconds:.0f}"
        table.add_row(step.id, step.name, step.state.lower(), took, step.reason)
    console.print(table)
    if state.remedy:
        console.print(f"What to do: {state.remedy}", markup=False)
    if state.failed:
        raise typer.Exit(1)


@emr.command()
def logs(
    cluster_id: ClusterId,
    step: Annotated[
        str | None,
        typer.Option(help="Id of a step. Left out: the first that failed, or the last.", show_default=False),
    ] = None,
    log: Annotated[
        Literal["stdout", "stderr", "controller", "bootstrap"],
        typer.Option(help="bootstrap: what installing the environment printed, on all nodes."),
    ] = "stdout",
    region: Region = None,
) -> None:
    """Print what a step has printed, as far as EMR has copied it to S3, which it does some minutes late."""
    from hvdcells.errors import UserError
    from hvdcells.secrets import visible
    from launch.aws.clients import client
    from launch.emr.cluster_state import state_of
    from launch.emr.logs import bootstrap_logs, step_logs

    state, s3 = state_of(client("emr", region), cluster_id), client("s3", region)
    if log == "bootstrap":
        typer.echo(visible(bootstrap_logs(s3, state)), nl=False)
        return
    by_id = {each.id: each for each in state.steps}
    if not by_id or (step and step not in by_id):
        known = ", ".join(by_id) or "it has none"
        raise UserError(f"the step {step} of {cluster_id}", f"one of its steps: {known}", "correct --step")
    failed = [each for each in state.steps if each.state == "FAILED"]
    chosen = by_id[step] if step else (failed or list(state.steps)[-1:])[0]
    typer.echo(visible(step_logs(s3, state, chosen, log)), nl=False)


@emr.command()
def wait(cluster_id: ClusterId, region: Region = None) -> None:
    """Tell each change until the cluster has ended. Exit code 1 if a step or the cluster failed."""
    follow_cluster(cluster_id, region)


@emr.command()
def terminate(cluster_id: ClusterId, region: Region = None) -> None:
    """End a cluster, whatever it is doing. Datasets and runs in S3 stay, and the same launch goes on with them."""
    from launch.aws.clients import client
    from launch.emr.submission import terminate as end

    end(client("emr", region), cluster_id)
    typer.echo(f"{cluster_id} is ending")


@emr.command()
def cost(
    cluster_id: ClusterId,
    run: Annotated[
        str | None,
        typer.Option(help="Write it into this run directory, and its report anew.", show_default=False),
    ] = None,
    prices: Annotated[
        str | None, typer.Option(help="A table of machines and prices of your own.", show_default=False)
    ] = None,
    region: Region = None,
) -> None:
    """Tell what a cluster has cost: hours of each machine by the price table, without disks, S3 and taxes."""
    from launch.aws.clients import client
    from launch.clusters.instances import catalogue
    from launch.emr.cost import cost_of
    from launch.terminal.console import Console
    from launch.terminal.estimate_table import print_cost

    costs = cost_of(client("emr", region), cluster_id, catalogue(prices))
    print_cost(costs, Console(highlight=False, soft_wrap=True))
    if run is not None:
        _keep_cost(run, cluster_id, costs.to_dict())


def _keep_cost(location: str, cluster_id: str, costs: dict[str, Any]) -> None:
    """Write what a cluster has cost into a run that is there, beside its earlier clusters, and its report anew."""
    from hvdcells.errors import UserError
    from hvdcells.report import write_report
    from hvdcells.runs.directory import RunDirectory
    from launch.emr.cost import add_cost

    directory = RunDirectory.at(location)
    if not directory.is_begun():
        raise UserError(f"--run {location}, where there is no run", "the run that the cluster made", "correct --run")
    add_cost(directory, cluster_id, costs)
    typer.echo(f"Report: {write_report(directory)}")
