"""EMR as the tests meet it: moto over HTTP, and in front of it answers that moto cannot give."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from launch.aws.clients import client
from launch.cli import app
from launch.clusters.wheel import own_wheel

PLACES = ["--source", "s3://cells/images", "--dataset", "s3://cells/dataset", "--run", "s3://cells/runs/one"]
WHEELHOUSE = "runs/hvdcells/environment"


class Emr:
    """Answers in place of moto, by operation: moto neither runs steps nor throttles nor has quotas."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.requests: list[tuple[str, str]] = []
        self.scripts: dict[str, Iterator[Any]] = {}

    def answers(self, operation: str, *answers: Any) -> None:
        """Give these answers to an operation, the last one for ever.

        An answer is a dictionary, a pair of an error's code and message, a function to call before moto is asked, or
        None for moto's own.
        """
        self.scripts[operation] = _then_the_last(answers)

    def __call__(self, method: str, headers: Any, body: bytes) -> tuple[int, bytes] | None:
        operation = headers.get("X-Amz-Target", "").removeprefix("ElasticMapReduce.")
        self.requests.append((operation or method, body.decode("utf-8", "replace")))
        if not operation:
            return None
        self.asked.append(operation)
        answer = next(self.scripts.get(operation, iter([None])), None)
        if callable(answer):
            answer()
            return None
        if isinstance(answer, tuple):
            return 400, json.dumps({"__type": answer[0], "message": answer[1]}).encode()
        return None if answer is None else (200, json.dumps(answer).encode())


def _then_the_last(answers: tuple) -> Iterator[Any]:
    yield from answers
    while True:
        yield answers[-1]


@pytest.fixture
def emr(s3, monkeypatch) -> Iterator[Emr]:
    """Moto with a bucket, a wheelhouse and a log bucket; no pauses between questions."""
    monkeypatch.setattr("launch.emr.cluster_state.POLL_SECONDS", 0.0)
    storage = client("s3", "us-east-1")
    for bucket in ("cells", "logs"):
        storage.create_bucket(Bucket=bucket)
    name, wheel = own_wheel()
    storage.put_object(Bucket="cells", Key=f"{WHEELHOUSE}/{name}", Body=wheel)
    storage.put_object(Bucket="cells", Key=f"{WHEELHOUSE}/SHA256SUMS", Body=b"made up")
    s3.answer = Emr()
    yield s3.answer
    s3.answer = None


@pytest.fixture
def run() -> Callable[..., Result]:
    """The command as a user gives it."""
    return lambda *words: CliRunner().invoke(app, list(words))


@pytest.fixture
def launched(emr, run) -> str:
    """The id of a cluster that was launched."""
    done = run("launch", "emr", *PLACES, "--gpus", "2", "--logs", "s3://logs/emr")
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


def cluster(cluster_id: str, state: str, code: str = "", message: str = "") -> dict:
    """What DescribeCluster answers of a cluster in a state."""
    reason = {"Code": code, "Message": message} if code else {}
    status = {"State": state, "StateChangeReason": reason, "Timeline": {"CreationDateTime": 1.7e9}}
    return {"Cluster": {"Id": cluster_id, "Name": "hvdcells", "Status": status, "LogUri": "s3n://logs/emr/"}}


def steps(*states: str, reason: str = "") -> dict:
    """What ListSteps answers: the last one first, as EMR does."""
    names = ("etl", "train", "evaluate", "report")
    listed = []
    for number, (name, state) in enumerate(zip(names, states, strict=True)):
        times = {"CreationDateTime": 1.7e9, "StartDateTime": 1.7e9 + 60}
        if state in ("COMPLETED", "FAILED"):
            times["EndDateTime"] = 1.7e9 + 100
        if state in ("PENDING", "CANCELLED"):
            del times["StartDateTime"]
        status = {"State": state, "Timeline": times}
        if state == "FAILED":
            status["FailureDetails"] = {"Reason": reason or "Unknown Error.", "LogFile": "s3://logs/emr/"}
        listed.append({"Id": f"s-{number}", "Name": f"hvdcells: {name}", "Status": status})
    return {"Steps": listed[::-1]}
