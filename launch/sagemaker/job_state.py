"""A job that runs: what it is doing, what it has printed, and its end."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hvdcells.errors import UserError
from hvdcells.secrets import without_secrets
from launch.aws.errors import aws_errors
from launch.sagemaker.kinds import ETL, KINDS, TRAIN, TUNE, Kind

ENDED = ("Completed", "Failed", "Stopped", "DeleteFailed")
POLL_SECONDS = 15.0
ABSENT = {"ResourceNotFound", "ResourceNotFoundException"}
"""Codes for a job that does not exist; others answer with a `ValidationException` that says so."""


@dataclass(frozen=True)
class JobState:
    """A job at one moment."""

    name: str
    kind: Kind
    status: str
    detail: str = ""
    """What it is doing, in SageMaker's words, or how far a tuning is."""
    reason: str = ""
    """Why it failed."""
    billed_seconds: int | None = None
    """Of a training on one machine; less than it took on spot machines."""
    best: str | None = None
    """Of a tuning: the best training job so far."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in ENDED

    @property
    def failed(self) -> bool:
        """Whether it ended in another way than by completing."""
        return self.has_ended and self.status != "Completed"

    def __str__(self) -> str:
        more = "; ".join(filter(None, [self.detail, self.reason]))
        return f"{self.name}: {self.status.lower()}" + (f" ({more})" if more else "")


def state_of(sagemaker: Any, name: str) -> JobState:
    """Ask for a job of any of the three kinds.

    Raises:
        UserError: no such job in this region, or no right to ask.
    """
    from botocore.exceptions import ClientError

    likely = sorted((TRAIN, ETL, TUNE), key=lambda kind: f"-{kind.stage}-" not in name)
    # A tuning's own training jobs have its name and more.
    with aws_errors(f"asking for the job {name}"):
        for kind in likely:
            if kind is TUNE and len(name) > 32:
                continue
            try:
                return _state(name, kind, getattr(sagemaker, kind.describe)(**{kind.name_key: name}))
            except ClientError as error:
                if not _is_absent(error):
                    raise
    raise UserError(
        f"the job {name}: SageMaker has none of that name in {sagemaker.meta.region_name}",
        "a name that `hvdcells launch sagemaker` has printed",
        "correct the name, or give --region",
    )


def _is_absent(error: Any) -> bool:
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "").lower()
    said = "not found" in message or "could not find" in message or "does not exist" in message
    return code in ABSENT or (code in ("ValidationException", "ValidationError") and said)


def _state(name: str, kind: Kind, answer: dict[str, Any]) -> JobState:
    status = answer[kind.status_key]
    reason = without_secrets(answer.get("FailureReason") or answer.get("ExitMessage") or "")
    if kind is not TUNE:
        detail = answer.get("SecondaryStatus", "")
        billed = answer.get("BillableTimeInSeconds")
        return JobState(name, kind, status, "" if detail == status else detail, reason, billed)
    counts = answer.get("TrainingJobStatusCounters", {})
    detail = ", ".join(f"{count} {word.lower()}" for word, count in counts.items() if count)
    best = answer.get("BestTrainingJob", {})
    if value := best.get("FinalHyperParameterTuningJobObjectiveMetric", {}).get("Value"):
        detail += f"; best {value:.4f} by {best['TrainingJobName']}"
    return JobState(name, kind, status, detail, reason, best=best.get("TrainingJobName"))


def follow(
    sagemaker: Any, name: str, tell: Callable[[str], Any], pause: Callable[[float], Any] = time.sleep
) -> JobState:
    """Tell each change until a job has ended, and return its last state."""
    said = None
    while True:
        state = state_of(sagemaker, name)
        if str(state) != said:
            tell(said := str(state))
        if state.has_ended:
            return state
        pause(POLL_SECONDS)


def log_lines(logs: Any, state: JobState) -> Iterator[str]:
    """Yield what a job's containers have printed, as CloudWatch has it, in the order of time.

    Raises:
        UserError: there is nothing yet, or no right to read it.
    """
    from botocore.exceptions import ClientError

    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=state.kind.log_group,
        # A tuning has no container of its own: its trainings' names begin with its name.
        logStreamNamePrefix=state.name if state.kind is TUNE else f"{state.name}/",
    )
    count = 0
    with aws_errors(f"reading the logs of {state.name}"):
        try:
            for page in pages:
                for event in page.get("events", []):
                    count += 1
                    yield without_secrets(event["message"].rstrip("\n"))
        except ClientError as error:
            if error.response["Error"]["Code"] not in ABSENT:
                raise
    if not count:
        raise UserError(
            f"no logs of {state.name}, which is {state.status.lower()}",
            "a job whose containers have begun",
            "wait a few minutes; hvdcells sagemaker status says how far it is",
        )


def stop(sagemaker: Any, state: JobState) -> None:
    """Ask a job to end; its run keeps the last checkpoint."""
    with aws_errors(f"stopping {state.name}"):
        getattr(sagemaker, KINDS[state.kind.stage].stop)(**{state.kind.name_key: state.name})
