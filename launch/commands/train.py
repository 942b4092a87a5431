"""`hvdcells train`: Horovod on Spark."""

import shlex
import signal
from typing import Annotated

import psutil
import typer

from hvdcells.experiment.recipes import RECIPES
from launch.terminal.arguments import (
    Conf,
    Master,
    Settings,
    Track,
    TrustCode,
    chosen_experiment,
    parse_conf,
    parse_settings,
)


def train(
    dataset: Annotated[str, typer.Argument(help="Dataset written by `hvdcells etl`: a folder or s3://….")],
    run: Annotated[str, typer.Argument(help="Where the run directory is made: a new folder or s3://….")],
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Ranks that train together, one per Spark task slot. Left out: 2, or the run's own with --resume.",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help=f"One of: {', '.join(RECIPES)}. Left out: small_cnn, or the run's own with --resume.",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Short for --set training.epochs=N.")] = None,
    settings: Settings = None,
    list_fields: Annotated[bool, typer.Option("--list-fields", help="Print the fields and end.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete an earlier run at RUN.")] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run at RUN from its last checkpoint; begin it if there is none. Safe to give always.",
        ),
    ] = False,
    master: Master = None,
    conf: Conf = None,
    start_timeout: Annotated[
        int,
        typer.Option(min=1, help="Seconds to wait for a task slot for each worker, and for all to find each other."),
    ] = 600,
    stall_seconds: Annotated[
        float,
        typer.Option(
            min=0,
            help="End the run when its workers stand still, or one says nothing, for so many seconds; say which and "
            "where (RUN/logs/stall.txt). 0: wait.",
        ),
    ] = 60,
    max_restarts: Annotated[
        int,
        typer.Option(
            min=0,
            help="When a worker, its Spark task or its executor is lost, go on from the last checkpoint, so often.",
        ),
    ] = 0,
    min_workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="After a loss, go on with as few when Spark gives no more slots in --start-timeout; grow again at the "
            "end of an epoch. Left out: all.",
            show_default=False,
        ),
    ] = None,
    checkpoint_steps: Annotated[
        int, typer.Option(min=0, help="Write a checkpoint after so many steps within an epoch, too. 0: none.")
    ] = 0,
    trust_code: TrustCode = None,
    track: Track = None,
) -> None:
    """Train a classifier on a dataset: one ring-allreduce TensorFlow worker per Spark task.

    Every epoch prints one line: the loss, the weighted F1 on subjects held out for validation, images per second
    over all workers, and where the time of a step went. The model of the best epoch is kept in RUN, and a checkpoint
    of every epoch: whatever kills the run, the same command with --resume goes on as if nothing had happened.
    """
    import hvdcells
    from hvdcells.experiment.trust import check_trusted, code_named_by
    from hvdcells.runs.directory import RunDirectory
    from hvdcells.runs.earlier_run import own_experiment
    from hvdcells.spark.backends import RankFailedError
    from hvdcells.spark.session import SparkLostError
    from launch.terminal.console import Console
    from launch.terminal.runs_tables import print_training

    own, trusted = own_experiment(run) if resume else None, trust_code or []
    if own is not None and recipe is None and "model.backbone" not in parse_settings(settings or []):
        check_trusted(own, RunDirectory.at(run).experiment, trusted)
    experiment = chosen_experiment(recipe, settings, own)
    if epochs is not None:
        experiment = experiment.override({"training.epochs": epochs})
    if list_fields:
        typer.echo(experiment.to_json(), nl=False)
        return
    settings_of_spark = parse_conf(conf)
    console = Console(soft_wrap=True, highlight=False)
    where = ["--master", master] if master else []
    where += [word for setting in conf or [] for word in ("--conf", setting)]
    where += [word for module in code_named_by(experiment) for word in ("--trust-code", module)]
    given = {"--max-restarts": max_restarts, "--min-workers": min_workers, "--checkpoint-steps": checkpoint_steps}
    where += [word for option, value in given.items() if value for word in (option, str(value))]
    how_to_go_on = f"To go on: {shlex.join(['hvdcells', 'train', dataset, run, '--resume', *where])}"
    try:
        directory = hvdcells.train(
            dataset,
            run,
            experiment,
            workers=workers,
            master=master,
            conf=settings_of_spark,
            start_timeout_seconds=start_timeout,
            stall_seconds=stall_seconds,
            overwrite=overwrite,
            resume=resume,
            max_restarts=max_restarts,
            min_workers=min_workers,
            checkpoint_steps=checkpoint_steps,
            began=psutil.Process().create_time(),
            track=track,
        )
    except KeyboardInterrupt as interrupt:
        console.print(
            f"Stopped. {how_to_go_on}" if own_experiment(run) else "Stopped before the run began.", markup=False
        )
        raise typer.Exit(128 + (interrupt.args or (signal.SIGINT,))[0]) from None
    except (RankFailedError, SparkLostError):
        console.print(f"The run has failed. {how_to_go_on}", markup=False)
        raise
    print_training(directory, console)
    trusting = [word for module in code_named_by(experiment) for word in ("--trust-code", module)]
    console.print(f"Next: {shlex.join(['hvdcells', 'evaluate', run, *trusting])}", markup=False)
