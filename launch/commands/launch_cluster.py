"""`hvdcells launch cluster`: all stages on a Spark cluster, through spark-submit."""

import os
import shlex
import subprocess
import time
from pathlib import Path
from typing import Annotated

import typer

from launch.clusters.spec import AskedExecutors, ClusterSpec, read_spec
from launch.stages import Pipeline
from launch.terminal.arguments import Conf, parse_conf
from launch.terminal.model_options import takes_models


@takes_models
def cluster(
    pipeline: Pipeline,
    master: Annotated[str, typer.Option(help="Spark master, such as spark://host:7077 or yarn.")],
    asked: AskedExecutors,
    spec: Annotated[
        str | None,
        typer.Option(help="YAML or JSON file that describes the cluster; options win.", show_default=False),
    ] = None,
    prices: Annotated[str | None, typer.Option(help="A table of machines of your own.", show_default=False)] = None,
    environment: Annotated[
        str | None,
        typer.Option(
            help="Archive of `hvdcells launch environment` that executors run from. Left out: every node has this "
            "Python at the same path.",
            show_default=False,
        ),
    ] = None,
    conf: Conf = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the spark-submit lines and end.")] = False,
) -> None:
    """Images → dataset → trained model → scores → report, on a Spark cluster. What is done already is not done again.

    Each stage is one spark-submit with the settings that follow from the cluster's description: for training an
    executor for each GPU, for the ETL stage one for each machine. The same command goes on after an interruption.
    """
    from hvdcells.spark.session import LOG_OPTION, use_bundled_java
    from launch.clusters.instances import catalogue
    from launch.clusters.spark_submit import submit_command, submit_settings
    from launch.terminal.console import Console
    from launch.terminal.environment_archive import bring_up_to_date

    table, said = catalogue(prices), asked.model_dump(exclude_unset=True)
    described = read_spec(spec, table, **said) if spec else ClusterSpec.of(table, **said)
    given = {"spark.driver.extraJavaOptions": LOG_OPTION, **parse_conf(conf)}
    console = Console(highlight=False, soft_wrap=True)
    if environment is not None and not dry_run:
        bring_up_to_date(environment, console)
    for stage, arguments in pipeline.stages(described.num_executors).items():
        if stage == "report":
            break  # `train` and `evaluate` write it
        command = submit_command(
            master, f"hvdcells {stage}", submit_settings(described, stage, environment, given), arguments
        )
        if dry_run:
            console.print(shlex.join(command), markup=False)
            continue
        if pipeline.is_done(stage):
            console.print(f"{stage}: done already", style="bold")
            continue
        began = time.monotonic()
        use_bundled_java()
        root = str(Path(__file__).parent.parent.parent)
        search = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": search}, check=False)
        if done.returncode:
            console.print(f"{stage}: failed; the same command goes on from here", style="red")
            raise typer.Exit(done.returncode)
        console.print(f"{stage}: done in {time.monotonic() - began:.0f} s", style="bold")
