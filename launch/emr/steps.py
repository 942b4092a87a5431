"""The steps of a cluster: what `hvdcells` is told to do there, one stage after the other."""

from collections.abc import Sequence
from typing import Any, Literal

from hvdcells import storage
from launch.clusters.spark_settings import Stage, spark_settings
from launch.clusters.spec import ClusterSpec
from launch.emr.options import EmrLaunch
from launch.stages import StageName

OnFailure = Literal["TERMINATE_CLUSTER", "CONTINUE", "CANCEL_AND_WAIT"]

PREFIX = "/opt/hvdcells"
"""Where the bootstrap installs the environment on every node."""
PYTHON = f"{PREFIX}/bin/python"
DISCOVERY = f"{PREFIX}/discover_gpus.sh"
SUBMIT = f"{PREFIX}/submit.py"
BENCH_EPOCHS = 3
"""The first one traces and fills caches; the others are measured."""


def steps(launch: EmrLaunch, on_failure: OnFailure) -> list[dict[str, Any]]:
    """Return the steps of a launch: its stages, or the ETL and a training for each number of workers.

    Args:
        launch: what is launched.
        on_failure: `TERMINATE_CLUSTER` for a cluster of its own; on another's, that one goes on.
    """
    cluster = launch.cluster
    stages = launch.pipeline.stages(cluster.num_executors)
    if not launch.bench:
        return [_stage(name, words, launch, on_failure) for name, words in stages.items()]
    planned = [_stage("etl", stages["etl"], launch, on_failure)]
    for workers in launch.bench:
        fewer = cluster.model_copy(update={"num_executors": workers})
        run = storage.join(launch.pipeline.run, f"workers-{workers}")
        words = _replaced(launch.pipeline.stages(workers)["train"], launch.pipeline.run, run)
        words += ["--epochs", str(BENCH_EPOCHS)]
        planned.append(_submit(f"train on {workers}", "train", words, fewer, on_failure))
    return planned


def _stage(stage: StageName, words: Sequence[str], launch: EmrLaunch, on_failure: OnFailure) -> dict[str, Any]:
    if stage == "report":  # no work for Spark
        return command_step(stage, [f"{PREFIX}/bin/hvdcells", *words], on_failure)
    return _submit(stage, stage, words, launch.cluster, on_failure)


def session_settings(cluster: ClusterSpec, stage: Stage) -> dict[str, str]:
    """Return the Spark settings with which a stage uses a cluster of EMR, in a step and in a notebook alike."""
    told = spark_settings(cluster, stage)
    if told.pop("spark.files", None):  # the launching machine's path; nodes have the script from the bootstrap
        told["spark.executor.resource.gpu.discoveryScript"] = DISCOVERY
    return told | {
        "spark.pyspark.python": PYTHON,
        "spark.pyspark.driver.python": PYTHON,
        "spark.yarn.appMasterEnv.PYSPARK_PYTHON": PYTHON,
        "spark.executorEnv.PYSPARK_PYTHON": PYTHON,
    }


def _submit(
    name: str, stage: Stage, words: Sequence[str], cluster: ClusterSpec, on_failure: OnFailure
) -> dict[str, Any]:
    """Return a step that is a spark-submit in client mode: its output is the step's, with one line per epoch."""
    settings = session_settings(cluster, stage)
    conf = [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]
    command = ["spark-submit", "--master", "yarn", "--deploy-mode", "client", "--name", f"hvdcells {stage}"]
    return command_step(name, [*command, *conf, SUBMIT, *words], on_failure)


def command_step(name: str, words: Sequence[str], on_failure: OnFailure) -> dict[str, Any]:
    """Return a step that runs a command on the primary machine."""
    run = {"Jar": "command-runner.jar", "Args": list(words)}
    return {"Name": f"hvdcells: {name}", "ActionOnFailure": on_failure, "HadoopJarStep": run}


def _replaced(words: Sequence[str], old: str, new: str) -> list[str]:
    return [new if word == old else word for word in words]
