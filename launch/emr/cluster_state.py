"""A cluster that runs: what it is doing, what it has printed, and its end."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hvdcells.errors import UserError
from launch.aws.errors import aws_errors

ENDED = ("TERMINATED", "TERMINATED_WITH_ERRORS")
STEP_ENDED = ("COMPLETED", "FAILED", "CANCELLED", "INTERRUPTED")
IDLE = "WAITING"
POLL_SECONDS = 15.0
_UNKNOWN = re.compile(r"cluster id .*not valid", re.IGNORECASE)
_REMEDIES = {
    r"quota|limit": "the account may not have so many of these machines: ask for fewer or others, or raise the quota "
    "(AWS console: Service Quotas, EC2, 'Running On-Demand G and VT instances'; for --spot 'All G and VT Spot ...')",
    r"capacity|spot": "AWS has no such machines free: try another --instance, another --subnet, or without --spot",
    r"bootstrap": "the nodes' environment was not installed: `hvdcells emr logs {id} --log bootstrap` says why",
    r"permission|authori[sz]ed|denied|role": "a role lacks a right: compare it with launch/assets/iam in the package",
}
"""What to do about a cluster that ended, by words of the reason that EMR gives."""


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
    def remedy(self) -> str | None:
        """What to do about a cluster that EMR ended, where its reason tells."""
        found = (told for words, told in _REMEDIES.items() if re.search(words, self.reason, re.IGNORECASE))
        remedy = next(found, None) if self.state in ENDED and self.failed else None
        return remedy and remedy.replace("{id}", self.id)

    @property
    def failed(self) -> bool:
        """Whether a step failed, or the cluster ended with errors."""
        bad = [step for step in self.steps if step.state in ("FAILED", "CANCELLED", "INTERRUPTED")]
        return bool(bad) or self.state == "TERMINATED_WITH_ERRORS"


@contextmanager
def cluster_errors(cluster_id: str) -> Iterator[None]:
    """Turn what EMR refuses of a cluster into a `UserError`; one that it does not know is told as such."""
    from botocore.exceptions import ClientError

    with aws_errors(f"asking for the cluster {cluster_id}"):
        try:
            yield
        except ClientError as error:
            told = error.response["Error"]
            if not _UNKNOWN.search(told.get("Message", "")):
                raise
            raise UserError(
                f"the cluster {cluster_id}: {told['Message']} ({told['Code']})",
                "the id of a cluster of this account and region, such as j-2AXXXXXXGAPLF",
                "correct it, or --region; `aws emr list-clusters --active` lists those that run",
            ) from None


def state_of(emr: Any, cluster_id: str) -> ClusterState:
    """Ask for a cluster and its steps, in the order in which they run.

    Raises:
        UserError: no such cluster in this region, or no right to ask.
    """
    with cluster_errors(cluster_id):
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
