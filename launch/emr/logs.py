"""What a cluster has printed, as far as EMR has copied it to S3, which it does some minutes late."""

import gzip
import re
from typing import Any

from hvdcells.errors import UserError
from launch.aws.buckets import bucket_and_key
from launch.aws.errors import aws_errors
from launch.emr.cluster_state import ClusterState, StepState

BOOTSTRAP = re.compile(r"/bootstrap-actions/\d+/(stdout|stderr)(\.gz)?$")


def step_logs(s3: Any, state: ClusterState, step: StepState, name: str = "stdout") -> str:
    """Return what a step has printed.

    Args:
        s3: a client of S3.
        state: the cluster.
        step: one of its steps.
        name: stdout, stderr or controller, which is EMR's own account of it.

    Raises:
        UserError: the cluster writes no logs, or this one is not there yet.
    """
    bucket, root = _place(state)
    prefix = f"{root}/steps/{step.id}/{name}"
    found = _read(s3, bucket, prefix, lambda key: True)
    if not found:
        raise _not_there(f"{name} of {step.name}", f"s3://{bucket}/{prefix}")
    return "".join(found.values())


def bootstrap_logs(s3: Any, state: ClusterState) -> str:
    """Return what installing the environment has printed on each node, under the name of each file.

    Raises:
        UserError: the cluster writes no logs, or they are not there yet.
    """
    bucket, root = _place(state)
    found = _read(s3, bucket, f"{root}/node/", lambda key: bool(BOOTSTRAP.search(key)))
    if not found:
        raise _not_there("what the bootstrap printed", f"s3://{bucket}/{root}/node/")
    return "".join(f"== {key.removeprefix(root + '/node/')}\n{text}" for key, text in found.items() if text)


def _place(state: ClusterState) -> tuple[str, str]:
    if not state.logs:
        raise UserError(
            f"the logs of {state.id}: it was started without a place for them",
            "a cluster with a log address",
            "start clusters with --logs s3://...",
        )
    bucket, key = bucket_and_key(state.logs)
    return bucket, "/".join(filter(None, [key, state.id]))


def _read(s3: Any, bucket: str, prefix: str, wanted: Any) -> dict[str, str]:
    with aws_errors(f"reading the logs at s3://{bucket}/{prefix}"):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [each["Key"] for page in pages for each in page.get("Contents", []) if wanted(each["Key"])]
        bodies = {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}
    return {
        key: (gzip.decompress(body) if key.endswith(".gz") else body).decode("utf-8", "replace")
        for key, body in bodies.items()
    }


def _not_there(what: str, place: str) -> UserError:
    return UserError(
        f"{what} is not at {place}",
        "a log that EMR has copied: it does so every five minutes and when a step ends",
        "wait, or look at another one: --log stderr, --log controller, --log bootstrap",
    )
