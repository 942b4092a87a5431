"""The spark-submit line of one stage on a cluster."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from launch.clusters.environment import environment_settings, origin_of
from launch.clusters.spark_settings import Stage, spark_settings
from launch.clusters.spec import ClusterSpec

ENTRY = Path(__file__).parent.parent / "assets" / "submit.py"


def submit_settings(
    spec: ClusterSpec, stage: Stage, environment: str | None, conf: Mapping[str, str]
) -> dict[str, str]:
    """Return all Spark settings of a stage; the user's win.

    Args:
        spec: the cluster.
        stage: what is to be done on it.
        environment: location of the archive that executors run from; None where they have the driver's paths.
        conf: the user's settings.
    """
    python = {"spark.pyspark.python": sys.executable, "spark.pyspark.driver.python": sys.executable}
    own = environment_settings(environment) if environment else python
    return {**spark_settings(spec, stage), **own, **conf}


def submit_command(master: str, name: str, settings: Mapping[str, str], arguments: Sequence[str]) -> list[str]:
    """Return the command: Spark's own spark-submit if SPARK_HOME says where, else the one of PySpark."""
    home = os.environ.get("SPARK_HOME")
    if home is None:
        home = str(origin_of("pyspark"))
    options = [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]
    return [f"{home}/bin/spark-submit", "--master", master, "--name", name, *options, str(ENTRY), *arguments]
