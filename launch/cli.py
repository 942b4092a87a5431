"""The `hvdcells` command: one sub-command a file in `launch/commands/`."""

import os
import signal
import sys
import time
import traceback
from typing import Annotated

import typer

from hvdcells.spark.backends import RankFailedError
from hvdcells.spark.session import SparkLostError
from hvdcells.storage import as_user_error
from launch.clusters.wheel import version_line
from launch.commands.check import check
from launch.commands.cross_validate import cross_validate
from launch.commands.decide import decide
from launch.commands.demo import demo
from launch.commands.doctor import doctor
from launch.commands.emr import emr as emr_commands
from launch.commands.etl import etl
from launch.commands.evaluate import evaluate
from launch.commands.export import export
from launch.commands.find_rate import find_rate
from launch.commands.launch_cluster import cluster
from launch.commands.launch_emr import emr
from launch.commands.launch_environment import environment
from launch.commands.launch_local import local
from launch.commands.launch_sagemaker import sagemaker
from launch.commands.predict import predict
from launch.commands.replay import replay
from launch.commands.report import report
from launch.commands.sagemaker import sagemaker as sagemaker_commands
from launch.commands.serve import serve
from launch.commands.show import show
from launch.commands.sweep import sweep
from launch.commands.synthesize import synthesize
from launch.commands.train import train
from launch.terminal.messages import print_error

app = typer.Typer(
    name="hvdcells",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Train classifiers of microscopic cell images on Spark with Horovod: "
    "[bold]etl[/] turns images into a dataset, [bold]train[/] trains on it, [bold]evaluate[/] judges the model on "
    "subjects it has never seen. Start with [bold]hvdcells demo[/].",
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(version_line())
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version, in a checkout with its commit, and end.",
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Take what stands before the sub-command."""


for command in (
    demo,
    doctor,
    synthesize,
    etl,
    check,
    show,
    find_rate,
    train,
    evaluate,
    decide,
    predict,
    export,
    serve,
    report,
    cross_validate,
    sweep,
    replay,
):
    app.command()(command)

launch = typer.Typer(
    no_args_is_help=True, help="Start all stages somewhere: on this machine, on a Spark cluster, on AWS."
)
for command in (local, cluster, emr, sagemaker, environment):
    launch.command()(command)
app.add_typer(launch, name="launch")
app.add_typer(emr_commands, name="emr")
app.add_typer(sagemaker_commands, name="sagemaker")


class Stopping:
    """Ctrl-C, SIGTERM and a closed terminal end a command in the same way: as an interrupt, once, that clears away.

    While it does so, more of them are not heeded for a while: a second Ctrl-C would interrupt the clearing.
    """

    HEEDED_AGAIN_AFTER_SECONDS = 30.0

    def __init__(self) -> None:
        self.signal: int | None = None
        self._came = 0.0
        found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        # `nohup` lets a terminal close. A Ctrl-C is heeded by a background job, too: it was sent to it alone.
        nohup = found[signal.SIGHUP] is signal.SIG_IGN
        self._before = {number: handler for number, handler in found.items() if not (nohup and number == signal.SIGHUP)}

    def __enter__(self) -> "Stopping":
        for number in self._before:
            signal.signal(number, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _interrupt(self, number: int, _: object) -> None:
        now = time.monotonic()
        if self.signal is None or now - self._came > self.HEEDED_AGAIN_AFTER_SECONDS:
            self.signal, self._came = number, now
            raise KeyboardInterrupt(number)


def main() -> None:
    """Run the command; exit code 0 done, 2 the user's input is wrong, 1 anything else."""
    # This process is ours alone: the Keras that TensorFlow imports with itself may be the one our models use,
    # which halves the time of the import.
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    # What it starts (ranks, Spark's Python workers) imports nothing out of the current folder, as this command does
    # not: a module beside somebody's images is no part of ours. PYTHONPATH=. asks for it.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    try:
        with Stopping() as stopping:
            app()
    except SystemExit:
        if stopping.signal is not None:
            sys.exit(128 + stopping.signal)
        raise
    except (RankFailedError, SparkLostError) as error:
        # The rank's own trace is in the message; the driver's says nothing more.
        print_error(f"error: {error}")
        sys.exit(1)
    except Exception as error:
        told = as_user_error(error)
        print_error(f"error: {told}" if told else traceback.format_exc())
        sys.exit(2 if told else 1)


if __name__ == "__main__":
    main()
