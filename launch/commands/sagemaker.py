"""`hvdcells sagemaker`: what follows a job that runs, and the image that jobs run."""

from pathlib import Path
from typing import Annotated

import typer

from launch.terminal.aws_work import Region, follow_job

JobName = Annotated[str, typer.Argument(help="Name of a job; `hvdcells launch sagemaker` prints it.")]

sagemaker = typer.Typer(
    no_args_is_help=True, help="Follow a job of Amazon SageMaker: status, logs, wait, stop; write its image."
)


@sagemaker.command()
def status(name: JobName, region: Region = None) -> None:
    """Tell what a job is doing. Exit code 1 if it failed or was stopped."""
    from launch.aws.clients import client
    from launch.sagemaker.job_state import state_of

    state = state_of(client("sagemaker", region), name)
    typer.echo(str(state))
    if state.billed_seconds is not None:
        typer.echo(f"billed for {state.billed_seconds} s of each machine")
    if state.failed:
        raise typer.Exit(1)


@sagemaker.command()
def logs(name: JobName, region: Region = None) -> None:
    """Print what a job's containers have printed; of a tuning, what all its trainings have."""
    from hvdcells.secrets import visible
    from launch.aws.clients import client
    from launch.sagemaker.job_state import log_lines, state_of

    state = state_of(client("sagemaker", region), name)
    for line in log_lines(client("logs", region), state):
        typer.echo(visible(line))


@sagemaker.command()
def wait(name: JobName, region: Region = None) -> None:
    """Tell each change until a job has ended. Exit code 1 if it failed or was stopped."""
    follow_job(name, region)


@sagemaker.command()
def stop(name: JobName, region: Region = None) -> None:
    """End a job. Its run in S3 keeps the last checkpoint, and the same launch goes on with it."""
    from launch.aws.clients import client
    from launch.sagemaker.job_state import state_of
    from launch.sagemaker.job_state import stop as end

    service = client("sagemaker", region)
    state = state_of(service, name)
    if state.has_ended:
        typer.echo(f"{state} already")
        return
    end(service, state)
    typer.echo(f"{name} is stopping")


@sagemaker.command()
def image(
    folder: Annotated[Path, typer.Argument(help="A new folder for what `docker build` takes.")],
    wheel: Annotated[
        Path | None,
        typer.Option(help="The wheel of hvdcells. Left out: built from the sources.", show_default=False),
    ] = None,
    serve: Annotated[bool, typer.Option("--serve", help="The image of `hvdcells serve`, not that of jobs.")] = False,
    region: Region = None,
) -> None:
    """Write the folder that an image is built in, and print the commands that build it and push it."""
    from launch.aws.clients import default_region
    from launch.sagemaker.image import how_to_push, write_context

    region = region or default_region()
    write_context(folder, wheel, serve)
    typer.echo(how_to_push(folder, region, serve), nl=False)


@sagemaker.command()
def undeploy(
    name: Annotated[str, typer.Argument(help="Of the endpoint; `hvdcells launch sagemaker --deploy` prints it.")],
    region: Region = None,
) -> None:
    """Remove an endpoint with its configuration and model, so that it costs nothing more. The export in S3 stays."""
    from launch.aws.clients import client
    from launch.sagemaker.deployment import undeploy as remove

    removed = remove(name, client("sagemaker", region))
    typer.echo(f"{name}: {', '.join(removed)} removed" if removed else f"{name}: nothing of that name is there")
