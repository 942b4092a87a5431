"""The configuration of EMR's software: YARN that schedules GPUs and shows each container its own alone.

After AWS's and NVIDIA's guides to the RAPIDS accelerator on EMR 7, without the accelerator itself: there YARN's
isolation takes cgroups of version 1, which the bootstrap mounts at `CGROUP_ROOT`.
"""

from collections.abc import Mapping
from typing import Any

from launch.clusters.spec import ClusterSpec

CGROUP_ROOT = "/spark-rapids-cgroup"
AUTHENTICATED = {"spark.authenticate": "true"}
"""For Spark, whose secret YARN makes for each application, and for its shuffle service, which is a part of YARN."""
SPARK = {"spark.dynamicAllocation.enabled": "false", **AUTHENTICATED, "spark.network.crypto.enabled": "true"}
"""Encrypted, too: the key of Horovod's services comes to the ranks' tasks with Spark's."""
_EXECUTOR = "org.apache.hadoop.yarn.server.nodemanager.LinuxContainerExecutor"
_CALCULATOR = "org.apache.hadoop.yarn.util.resource.DominantResourceCalculator"


def classifications(cluster: ClusterSpec, also_of_yarn: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the `Configurations` of a request.

    Args:
        cluster: its machines.
        also_of_yarn: more properties of YARN.
    """
    if not cluster.num_gpus:
        return [
            _classification("yarn-site", {**AUTHENTICATED, **also_of_yarn}),
            _classification("spark-defaults", SPARK),
        ]
    plugins, prefix = "yarn.nodemanager.resource-plugins", "yarn.nodemanager.linux-container-executor.cgroups"
    yarn = {
        plugins: "yarn.io/gpu",
        "yarn.resource-types": "yarn.io/gpu",
        f"{plugins}.gpu.allowed-gpu-devices": "auto",
        f"{plugins}.gpu.path-to-discovery-executables": "/usr/bin",
        f"{prefix}.mount": "true",
        f"{prefix}.mount-path": CGROUP_ROOT,
        f"{prefix}.hierarchy": "yarn",
        "yarn.nodemanager.container-executor.class": _EXECUTOR,
        **AUTHENTICATED,
        **also_of_yarn,
    }
    inside = [
        _classification("gpu", {"module.enabled": "true"}),
        _classification("cgroups", {"root": CGROUP_ROOT, "yarn-hierarchy": "yarn"}),
    ]
    return [
        # It brings NVIDIA's driver; the accelerator stays off as long as spark.plugins does not name it.
        _classification("spark", {"enableSparkRapids": "true"}),
        _classification("yarn-site", yarn),
        {**_classification("container-executor", {}), "Configurations": inside},
        _classification("capacity-scheduler", {"yarn.scheduler.capacity.resource-calculator": _CALCULATOR}),
        _classification("spark-defaults", SPARK),
    ]


def _classification(name: str, properties: Mapping[str, str]) -> dict[str, Any]:
    return {"Classification": name, "Properties": dict(properties)}
