"""The wheelhouse: every wheel that nodes install, built once on a machine like theirs, with a list of checksums.

Building Horovod on each node would take minutes of every machine's time; and what nodes install is what was built,
byte by byte.
"""

from pathlib import Path
from typing import Any

from launch.aws.buckets import upload
from launch.aws.requests import check_request
from launch.clusters.wheel import HOROVOD, own_wheel, requirements
from launch.emr.options import EmrCluster
from launch.emr.request import cluster_request, instance_group
from launch.emr.steps import command_step
from launch.emr.submission import ASSETS, check_places

BUILDER = "build_wheelhouse.sh"
STAGED = "build"
"""Folder of the environment's address for what the build itself takes."""
INSTANCE = "m5.2xlarge"
"""Compiling takes cores and 8 GiB; no GPU."""


def build_request(launch: EmrCluster) -> dict[str, Any]:
    """Return the request for a cluster of one machine that builds the wheelhouse and ends.

    Raises:
        UserError: places that are not in S3, or a request that EMR would refuse for its form.
    """
    launch.check_addresses()
    environment = launch.environment.rstrip("/")
    staged = f"{environment}/{STAGED}"
    encryption = ["aws:kms", launch.kms_key] if launch.kms_key else ["AES256"]
    # The address is an argument, no part of the script: whatever stands in it, the shell takes it as it is.
    run = ["bash", "-c", f'aws s3 cp "$1/{BUILDER}" /tmp/ && bash /tmp/{BUILDER} "$@"', BUILDER]
    build = command_step("build the environment", [*run, staged, environment, *encryption], "TERMINATE_CLUSTER")
    builder = launch.model_copy(update={"instance_profile": launch.builder_profile})
    group = instance_group("builder", "MASTER", INSTANCE, 1, "ON_DEMAND", launch.ebs_gib)
    request = cluster_request(builder, "hvdcells environment", {"InstanceGroups": [group]}, [], [build], [])
    check_request("emr", "RunJobFlow", request)
    return request


def prepare_build(launch: EmrCluster, s3: Any, wheel: Path | None = None) -> dict[str, Any]:
    """Upload what the build takes and return the request that starts it.

    Args:
        launch: what is launched.
        s3: a client of S3.
        wheel: of this package; None to build it from the sources.

    Raises:
        UserError: buckets are missing or somewhere else, or there is no wheel.
    """
    request = build_request(launch)
    check_places(launch, s3)
    staged = f"{launch.environment.rstrip('/')}/{STAGED}"
    name, content = own_wheel(wheel)
    upload(s3, content, f"{staged}/{name}", launch.kms_key)
    upload(s3, requirements().encode(), f"{staged}/requirements.txt", launch.kms_key)
    for script in (BUILDER, HOROVOD):
        upload(s3, ASSETS / script, f"{staged}/{script}", launch.kms_key)
    return request
