"""A cluster that runs: what it is doing, what it has printed, and its end."""

import gzip
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hvdcells.errors import UserError
from launch.aws.buckets import bucket_and_key
from launch.aws.errors import aws_errors

ENDED = ("TERMINATED", "TERMINATED_WITH_ERRORS")
STEP_ENDED = ("COMPLETED", "FAILED", "CANCELLED", "INTERRUPTED")
IDLE = "WAITING"
POLL_SECONDS = 15.0


@dataclass(frozen=True)
class StepState:
    """One step of a cluster."""

    id: str
    name: str
    state: str
    seconds: float | None
    """How long it has run; None before it began."""
    reason: str


@dataclass(frozen=True)
class ClusterState:
    """A cluster at one moment."""

    id: str
    name: str
    state: str
    reason: str
    logs: str | None
    steps: tuple[StepState, ...]

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen: the cluster is gone, or all its steps have ended and it waits."""
        done = all(step.state in STEP_ENDED for step in self.steps)
        return self.state in ENDED or (self.state == IDLE and done)

    @property
    def failed(self) -> bool:
        """Whether a step failed, or the cluster ended with errors."""
        bad = [step for step in self.steps if step.state in ("FAILED", "CANCELLED", "INTERRUPTED")]
        return bool(bad) or self.state == "TERMINATED_WITH_ERRORS"


def state_of(emr: Any, cluster_id: str) -> ClusterState:
    """Ask for a cluster and its steps, in the order in which they run.

    Raises:
        UserError: no such cluster in this region, or no right to ask.
    """
    with aws_errors(f"asking for the cluster {cluster_id}"):
        cluster = emr.describe_cluster(ClusterId=cluster_id)["Cluster"]
        pages = emr.get_paginator("list_steps").paginate(ClusterId=cluster_id)
        found = [step for page in pages for step in page.get("Steps", [])]
    status = cluster["Status"]
    reason = status.get("StateChangeReason", {})
    told = ": ".join(filter(None, [reason.get("Code"), reason.get("Message")]))
    steps = tuple(_step(step) for step in reversed(found))  # EMR lists the last one first
    return ClusterState(cluster_id, cluster.get("Name", ""), status["State"], told, cluster.get("LogUri"), steps)


def _step(step: dict[str, Any]) -> StepState:
    status = step["Status"]
    times = status.get("Timeline", {})
    began, ended = times.get("StartDateTime"), times.get("EndDateTime")
    seconds = None if began is None else (ended.timestamp() if ended else time.time()) - began.timestamp()
    details = status.get("FailureDetails", {})
    reason = details.get("Reason") or details.get("Message") or status.get("StateChangeReason", {}).get("Message") or ""
    return StepState(step["Id"], step["Name"], status["State"], seconds, reason)


def follow(
    emr: Any,
    cluster_id: str,
    tell: Callable[[str], Any],
    only: tuple[str, ...] = (),
    pause: Callable[[float], Any] = time.sleep,
) -> ClusterState:
    """Tell each change until a cluster has ended, or the named steps have, and return its last state.

    Args:
        emr: a client of EMR.
        cluster_id: which cluster.
        tell: given one line for each change.
        only: ids of the steps to wait for, on a cluster that others use; none for the whole cluster.
        pause: waits some seconds.
    """
    said: dict[str, str] = {}
    while True:
        state = state_of(emr, cluster_id)
        for what, line in _lines(state):
            if said.get(what) != line:
                tell(line)
                said[what] = line
        asked = [step for step in state.steps if step.id in only]
        if state.has_ended or (asked and all(step.state in STEP_ENDED for step in asked)):
            return state
        pause(POLL_SECONDS)


def _lines(state: ClusterState) -> Iterator[tuple[str, str]]:
    yield state.id, f"cluster {state.id}: {state.state.lower()}" + (f" ({state.reason})" if state.reason else "")
    for number, step in enumerate(state.steps, start=1):
        took = f" after {step.seconds:.0f} s" if step.state in STEP_ENDED and step.seconds is not None else ""
        why = f" ({step.reason})" if step.reason else ""
        yield step.id, f"  step {number} of {len(state.steps)}, {step.name}: {step.state.lower()}{took}{why}"


def step_logs(s3: Any, state: ClusterState, step: StepState, name: str = "stdout") -> str:
    """Return what a step has printed, as far as EMR has copied it to S3 (some minutes late).

    Raises:
        UserError: the cluster writes no logs, or this one is not there yet.
    """
    if not state.logs:
        raise UserError(
            f"the logs of {state.id}: it was started without a place for them",
            "a cluster with a log address",
            "start clusters with --logs s3://...",
        )
    # EMR answers with the scheme of Hadoop's old client.
    bucket, key = bucket_and_key(state.logs)
    prefix = "/".join(filter(None, [key, state.id, "steps", step.id, name]))
    with aws_errors(f"reading the logs of {step.name}"):
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        bodies = [(each["Key"], s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()) for each in listed]
    if not bodies:
        raise UserError(
            f"{name} of {step.name} is not at s3://{bucket}/{prefix}",
            "a log that EMR has copied: it does so every five minutes and when a step ends",
            "wait, or look at another one: --log stderr, --log controller",
        )
    return "".join(
        (gzip.decompress(body) if key.endswith(".gz") else body).decode("utf-8", "replace") for key, body in bodies
    )
