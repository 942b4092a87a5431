"""The first cell of a notebook on a cluster of EMR: the same Spark settings as a launch's steps."""

import json

from launch.clusters.spec import ClusterSpec
from launch.emr.steps import session_settings

OF_NOTEBOOKS = {
    # EMR's kernels build an environment of their own for each session otherwise, of python3, and ours is not used.
    "spark.pyspark.virtualenv.enabled": "false",
}


def notebook_settings(cluster: ClusterSpec) -> dict[str, str]:
    """Return the Spark settings of a notebook's session, with which its ranks run as a launch's do."""
    return session_settings(cluster, "train") | OF_NOTEBOOKS


def configuring_cell(cluster: ClusterSpec) -> str:
    """Return the text of the cell that gives a notebook's session its settings; it is run before all others."""
    return "%%configure -f\n" + json.dumps({"conf": notebook_settings(cluster)}, indent=1)
