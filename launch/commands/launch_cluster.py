"""`hvdcells launch cluster`: all stages on a Spark cluster, through spark-submit."""

import os
import shlex
import subprocess
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from launch.terminal.arguments import Conf, Recipe, Settings, parse_conf
from launch.commands.launch_local import Dataset, Run, Source


def cluster(
    source: Source,
    dataset: Dataset,
    run: Run,
    master: Annotated[str, typer.Option(help="Spark master, such as spark://host:7077 or yarn.")],
    spec: Annotated[
        str | None,
        typer.Option(help="YAML or JSON file that describes the cluster; options win.", show_default=False),
    ] = None,
    instance: Annotated[
        str | None, typer.Option(help="Type of the machines, such as g4dn.xlarge.", show_default=False)
    ] = None,
    machines: Annotated[int | None, typer.Option(help="Machines of that type.", show_default=False)] = None,
    vcpus: Annotated[int | None, typer.Option(help="Cores of one machine.", show_default=False)] = None,
    memory_gib: Annotated[float | None, typer.Option(help="Memory of one machine.", show_default=False)] = None,
    gpus: Annotated[int | None, typer.Option(help="GPUs of one machine.", show_default=False)] = None,
    workers: Annotated[
        int | None, typer.Option(help="Ranks, each an executor. Default: one per GPU, or machine.", show_default=False)
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Cores of one executor.", show_default=False)] = None,
    executor_memory_gib: Annotated[
        float | None, typer.Option(help="Memory of one executor, all in all.", show_default=False)
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
    recipe: Recipe = "small_cnn",
    settings: Settings = None,
    conf: Conf = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the spark-submit lines and end.")] = False,
) -> None:
    """Images → dataset → trained model → scores → report, on a Spark cluster. What is done already is not done again.

    Each stage is one spark-submit with the settings that follow from the cluster's description: for training an
    executor for each GPU, for the ETL stage one for each machine. The same command goes on after an interruption.
    """
    from rich.console import Console

    from hvdcells.spark.session import LOG_OPTION, use_bundled_java
    from launch.clusters.instances import catalogue
    from launch.clusters.spec import ClusterSpec, read_spec
    from launch.clusters.spark_submit import submit_command, submit_settings
    from launch.stages import Pipeline

    asked: dict[str, Any] = {
        "worker_instance": instance,
        "num_machines": machines,
        "vcpus": vcpus,
        "memory_gib": memory_gib,
        "num_gpus": gpus,
        "num_executors": workers,
        "threads": threads,
        "executor_memory_gib": executor_memory_gib,
    }
    table, settings_of_spark = catalogue(prices), parse_conf(conf)
    described = read_spec(spec, table, **asked) if spec else ClusterSpec.of(table, **asked)
    console = Console(highlight=False, soft_wrap=True)
    pipeline = Pipeline(source, dataset, run, recipe, settings or [])
    if environment is not None and not dry_run:
        from launch.commands.launch_environment import bring_up_to_date

        bring_up_to_date(environment, console)
    for stage, arguments in pipeline.stages(described.num_executors).items():
        if stage == "report":
            break  # `train` and `evaluate` write it
        given = {"spark.driver.extraJavaOptions": LOG_OPTION, **settings_of_spark}
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
