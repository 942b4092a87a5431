"""Starting on EMR: what is looked at first, what is uploaded, the one request that costs money."""

import hashlib
from pathlib import Path
from typing import Any

from hvdcells.errors import UserError, raise_together
from launch.aws.buckets import bucket_and_key, problems_of_buckets, upload
from launch.aws.errors import aws_errors
from launch.aws.requests import check_request
from launch.emr.cluster_state import cluster_errors
from launch.emr.options import EmrCluster, EmrLaunch
from launch.emr.request import BOOTSTRAP, SUMS, bootstrap_location, run_job_flow
from launch.emr.steps import steps

ASSETS = Path(__file__).parent.parent / "assets"
READ_AT_LAUNCH = "0" * 64
"""Stands in a dry run for the digest of a wheelhouse that is not asked for."""


def planned_request(launch: EmrLaunch) -> dict[str, Any]:
    """Return the request as a dry run shows it: checked for its form, with nothing asked of AWS.

    Raises:
        UserError: options that do not fit, or a request that EMR would refuse for its form.
    """
    launch.check()
    request = run_job_flow(launch, READ_AT_LAUNCH)
    check_request("emr", "RunJobFlow", request)
    return request


def attach_request(launch: EmrLaunch, cluster_id: str) -> dict[str, Any]:
    """Return the request that adds the launch's steps to a cluster; one that fails leaves the cluster to its others.

    Raises:
        UserError: options that do not fit, or a request that EMR would refuse for its form.
    """
    launch.check()
    request = {"JobFlowId": cluster_id, "Steps": steps(launch, "CONTINUE")}
    check_request("emr", "AddJobFlowSteps", request)
    return request


def prepare(launch: EmrLaunch, s3: Any) -> dict[str, Any]:
    """Look at all places, put the bootstrap script beside the wheelhouse, and return the request for a cluster.

    Args:
        launch: what is launched.
        s3: a client of S3.

    Raises:
        UserError: options do not fit, or buckets or the wheelhouse are missing.
    """
    planned_request(launch)
    check_places(launch, s3)
    digest = wheelhouse_digest(s3, launch.environment)
    upload(s3, ASSETS / BOOTSTRAP, bootstrap_location(launch), launch.kms_key)
    return run_job_flow(launch, digest)


def start(emr: Any, request: dict[str, Any]) -> str:
    """Send a request for a cluster, the one that costs money, and return the cluster's id."""
    with aws_errors("starting an EMR cluster"):
        return str(emr.run_job_flow(**request)["JobFlowId"])


def prepare_steps(launch: EmrLaunch, cluster_id: str, s3: Any) -> dict[str, Any]:
    """Look at all places and return the request that adds the launch's steps to a cluster.

    Raises:
        UserError: options do not fit, or buckets are missing.
    """
    request = attach_request(launch, cluster_id)
    check_places(launch, s3)
    return request


def add_steps(emr: Any, request: dict[str, Any]) -> list[str]:
    """Add steps to a cluster that runs, made by an earlier launch; return their ids.

    Raises:
        UserError: no such cluster, or it does not take steps any more.
    """
    cluster_id = request["JobFlowId"]
    with cluster_errors(cluster_id):
        state = emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]["State"]
    if state.startswith("TERMINAT"):
        raise UserError(
            f"steps for the cluster {cluster_id}, which is {state.lower()}",
            "a cluster that runs",
            "leave --attach out, which starts one",
        )
    with aws_errors(f"adding steps to {cluster_id}"):
        return list(emr.add_job_flow_steps(**request)["StepIds"])


def check_places(launch: EmrCluster, s3: Any) -> None:
    """Refuse buckets that are missing, forbidden or in another region; all of them together."""
    raise_together(problems_of_buckets(s3, launch.places.values(), launch.region))


def wheelhouse_digest(s3: Any, environment: str) -> str:
    """Return the SHA-256 of a wheelhouse's list of checksums.

    Raises:
        UserError: there is no wheelhouse.
    """
    from botocore.exceptions import ClientError

    bucket, key = bucket_and_key(f"{environment.rstrip('/')}/{SUMS}")
    with aws_errors(f"reading s3://{bucket}/{key}"):
        try:
            listed = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("NoSuchKey", "404"):
                raise
            raise UserError(
                f"no environment at {environment}: {SUMS} is not there",
                "the wheels that nodes install from, built once",
                f"hvdcells launch emr --build-environment --environment {environment} --logs s3://...",
            ) from None
    return hashlib.sha256(listed).hexdigest()


def terminate(emr: Any, cluster_id: str) -> None:
    """End a cluster, whatever it is doing."""
    with cluster_errors(cluster_id):
        emr.terminate_job_flows(JobFlowIds=[cluster_id])
