"""Work on AWS that goes on without this process: followed to its end, with how to follow it and how to stop it."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer

from launch.terminal.console import Console

Region = Annotated[
    str | None,
    typer.Option(help="Left out: that of the environment or the AWS profile.", show_default=False),
]


def how_to_stop_cluster(cluster_id: str, region: str | None, added: Sequence[str] = ()) -> str:
    """Return what to do about a cluster, or steps added to one, that go on without this process."""
    lines = [f"To follow: hvdcells emr wait {cluster_id}{_in(region)}"]
    if added:
        steps = " ".join(added)
        lines.append(
            f"To stop the steps: aws emr cancel-steps --cluster-id {cluster_id} --step-ids {steps}{_in(region)}"
        )
    else:
        lines.append(f"To stop it: hvdcells emr terminate {cluster_id}{_in(region)}")
    return "\n".join(lines)


def how_to_stop_job(name: str, region: str | None) -> str:
    """Return what to do about a job that goes on without this process."""
    which = f"{name}{_in(region)}"
    return f"To follow: hvdcells sagemaker wait {which}\nTo stop:   hvdcells sagemaker stop {which}"


def follow_cluster(cluster_id: str, region: str | None, only: tuple[str, ...] = ()) -> None:
    """Tell each change of a cluster, or of some of its steps, until the end.

    Raises:
        typer.Exit: 1 if something failed, 130 after Ctrl-C.
    """
    from launch.aws.clients import client
    from launch.emr.cluster_state import follow

    console = Console(highlight=False, soft_wrap=True)
    with _left_alone("cluster", how_to_stop_cluster(cluster_id, region, only), console):
        state = follow(client("emr", region), cluster_id, lambda line: console.print(line, markup=False), only)
    waited_for = [step for step in state.steps if step.id in only]
    if any(step.state != "COMPLETED" for step in waited_for) if only else state.failed:
        if state.remedy:
            console.print(f"What to do: {state.remedy}", markup=False)
        console.print(f"Why: hvdcells emr logs {cluster_id}{_in(region)}")
        raise typer.Exit(1)


def follow_job(name: str, region: str | None) -> None:
    """Tell each change of a job until the end.

    Raises:
        typer.Exit: 1 if it failed, 130 after Ctrl-C.
    """
    from launch.aws.clients import client
    from launch.sagemaker.job_state import follow

    console = Console(highlight=False, soft_wrap=True)
    with _left_alone("job", how_to_stop_job(name, region), console):
        state = follow(client("sagemaker", region), name, lambda line: console.print(line, markup=False))
    if state.failed:
        console.print(f"Why: hvdcells sagemaker logs {name}{_in(region)}")
        raise typer.Exit(1)


@contextmanager
def _left_alone(what: str, how_to_stop: str, console: Console) -> Iterator[None]:
    """On Ctrl-C, or if it cannot be asked any more, leave it alone and say how to stop it."""
    goes_on = f"The {what} goes on without this command.\n{how_to_stop}"
    try:
        yield
    except KeyboardInterrupt:
        console.print(goes_on)
        raise typer.Exit(130) from None
    except Exception:
        console.print(goes_on)
        raise


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


def _in(region: str | None) -> str:
    return f" --region {region}" if region else ""
