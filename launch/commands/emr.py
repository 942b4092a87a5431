"""`hvdcells emr`: what follows a cluster that runs."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Literal

import typer

ClusterId = Annotated[str, typer.Argument(help="Such as j-2AXXXXXXGAPLF; `hvdcells launch emr` prints it.")]
Region = Annotated[
    str | None,
    typer.Option(help="Left out: that of the environment or the AWS profile.", show_default=False),
]

emr = typer.Typer(no_args_is_help=True, help="Follow a cluster of Amazon EMR: status, logs, wait, terminate.")


@emr.command()
def status(cluster_id: ClusterId, region: Region = None) -> None:
    """Tell what a cluster and each of its steps are doing. Exit code 1 if a step or the cluster failed."""
    from rich.console import Console
    from rich.table import Table

    from launch.aws.clients import client
    from launch.emr.cluster_state import state_of

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
    from launch.aws.clients import client
    from launch.emr.cluster_state import state_of
    from launch.emr.logs import bootstrap_logs, step_logs

    state, s3 = state_of(client("emr", region), cluster_id), client("s3", region)
    if log == "bootstrap":
        typer.echo(bootstrap_logs(s3, state), nl=False)
        return
    by_id = {each.id: each for each in state.steps}
    if not by_id or (step and step not in by_id):
        known = ", ".join(by_id) or "it has none"
        raise UserError(f"the step {step} of {cluster_id}", f"one of its steps: {known}", "correct --step")
    failed = [each for each in state.steps if each.state == "FAILED"]
    chosen = by_id[step] if step else (failed or list(state.steps)[-1:])[0]
    typer.echo(step_logs(s3, state, chosen, log), nl=False)


@emr.command()
def wait(cluster_id: ClusterId, region: Region = None) -> None:
    """Tell each change until the cluster has ended. Exit code 1 if a step or the cluster failed."""
    follow_to_the_end(cluster_id, region)


@emr.command()
def terminate(cluster_id: ClusterId, region: Region = None) -> None:
    """End a cluster, whatever it is doing. Datasets and runs in S3 stay, and the same launch goes on with them."""
    from launch.aws.clients import client
    from launch.emr.submission import terminate as end

    end(client("emr", region), cluster_id)
    typer.echo(f"{cluster_id} is ending")


def how_to_stop(cluster_id: str, region: str | None, added: Sequence[str] = ()) -> str:
    """Return what to do about a cluster, or steps added to one, that go on without this process."""
    where = f" --region {region}" if region else ""
    lines = [f"To follow: hvdcells emr wait {cluster_id}{where}"]
    if added:
        steps = " ".join(added)
        lines.append(f"To stop the steps: aws emr cancel-steps --cluster-id {cluster_id} --step-ids {steps}{where}")
    else:
        lines.append(f"To stop it: hvdcells emr terminate {cluster_id}{where}")
    return "\n".join(lines)


@contextmanager
def interrupts_held() -> Iterator[Callable[[], bool]]:
    """Hold the first Ctrl-C back while a request is on its way that may cost money, so that its answer is not lost.

    Yields whether one has come. A second one is not held.
    """
    came: list[bool] = []

    def note(*_: object) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(True)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGINT, before)


def follow_to_the_end(cluster_id: str, region: str | None, only: tuple[str, ...] = ()) -> None:
    """Tell each change; on Ctrl-C, or if it cannot be asked any more, leave the cluster alone and say how to stop it.

    Raises:
        typer.Exit: 1 if something failed, 130 after Ctrl-C.
    """
    from rich.console import Console

    from launch.aws.clients import client
    from launch.emr.cluster_state import follow

    console = Console(highlight=False, soft_wrap=True)
    goes_on = f"The cluster goes on without this command.\n{how_to_stop(cluster_id, region, only)}"
    try:
        state = follow(client("emr", region), cluster_id, lambda line: console.print(line, markup=False), only)
    except KeyboardInterrupt:
        console.print(goes_on)
        raise typer.Exit(130) from None
    except Exception:
        console.print(goes_on)
        raise
    waited_for = [step for step in state.steps if step.id in only]
    if any(step.state != "COMPLETED" for step in waited_for) if only else state.failed:
        if state.remedy:
            console.print(f"What to do: {state.remedy}", markup=False)
        console.print(f"Why: hvdcells emr logs {cluster_id}" + (f" --region {region}" if region else ""))
        raise typer.Exit(1)
