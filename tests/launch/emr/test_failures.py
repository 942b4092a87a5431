"""What goes wrong between a user and EMR, as the user reads it, and what is left running."""

import os
import signal

import pytest

from hvdcells.errors import UserError
from launch.aws.clients import ATTEMPTS, client
from tests.launch.emr.conftest import PLACES, WHEELHOUSE, cluster, steps

pytestmark = pytest.mark.aws


@pytest.fixture
def no_pauses(monkeypatch):
    """botocore's pauses between tries take no time."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _seconds: None)


def refused(done) -> str:
    assert isinstance(done.exception, UserError), (done.exception, done.output)
    return str(done.exception)


def test_a_throttled_api_is_asked_again(emr, run, launched, no_pauses):
    throttled = ("ThrottlingException", "Rate exceeded")
    emr.answers("DescribeCluster", throttled, throttled, None)
    assert run("emr", "status", launched).exit_code == 0
    assert emr.asked.count("DescribeCluster") == 3


def test_a_throttled_api_is_told_in_the_end_and_the_cluster_goes_on(emr, run, launched, no_pauses):
    emr.answers("DescribeCluster", ("ThrottlingException", "Rate exceeded"))
    done = run("emr", "wait", launched)
    assert f"after {ATTEMPTS} tries" in refused(done)
    assert emr.asked.count("DescribeCluster") == ATTEMPTS
    assert f"hvdcells emr terminate {launched}" in done.output
    assert "TerminateJobFlows" not in emr.asked


@pytest.mark.parametrize(
    ("code", "message", "words"),
    [
        ("ExpiredTokenException", "The security token included in the request is expired", "renew them"),
        ("ValidationException", "You have exceeded your vCPU limit for the instance bucket", "Service Quotas"),
        ("AccessDeniedException", "User: u is not authorized to perform: iam:PassRole on resource: r", "iam:PassRole"),
        ("ValidationException", "The subnet subnet-1 does not exist", "--dry-run"),
    ],
)
def test_a_launch_that_is_refused_leaves_nothing(emr, run, code, message, words):
    emr.answers("RunJobFlow", (code, message))
    done = run("launch", "emr", *PLACES, "--gpus", "2")
    assert words in refused(done)
    assert done.stdout == ""  # no id of a cluster
    assert emr.asked.count("RunJobFlow") == 1


def test_all_places_are_looked_at_before_anything_costs_money(emr, run):
    storage = client("s3", "us-east-1")
    storage.create_bucket(Bucket="cells-far", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    places = ["--source", "s3://none/images", "--dataset", "s3://cells-far/dataset", "--run", "s3://cells/runs/one"]
    told = refused(run("launch", "emr", *places))
    assert "aws s3 mb" in told
    assert "the bucket cells-far is in eu-west-1" in told
    told = refused(run("launch", "emr", *PLACES, "--environment", "s3://cells/elsewhere"))
    assert "--build-environment --environment s3://cells/elsewhere" in told
    told = refused(run("launch", "emr", *PLACES, "--region", "eu-west-1"))
    assert "the bucket cells is in us-east-1" in told
    assert "RunJobFlow" not in emr.asked


def test_a_cluster_that_emr_does_not_know(emr, run):
    # EMR answers 400 for it; moto has a fault of its own there.
    unknown = ("InvalidRequestException", "Cluster id 'j-NONE' is not valid.")
    emr.answers("DescribeCluster", unknown)
    emr.answers("TerminateJobFlows", unknown)
    for command in ("status", "wait", "logs", "terminate"):
        assert "list-clusters" in refused(run("emr", command, "j-NONE"))


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("wait", [[], ["--wait"]])
def test_ctrl_c_while_the_request_is_on_its_way_does_not_lose_the_cluster(emr, run, wait):
    before = signal.getsignal(signal.SIGINT)
    emr.answers("RunJobFlow", interrupt)
    done = run("launch", "emr", *PLACES, "--gpus", "2", *wait)
    assert done.exit_code == 130
    cluster_id = done.stdout.strip()
    assert f"hvdcells emr terminate {cluster_id}" in done.output
    assert emr.asked == ["RunJobFlow"]  # nothing was asked after it
    assert client("emr", "us-east-1").describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]["State"] == "WAITING"
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_before_the_request_starts_nothing(emr, run, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("launch.emr.submission.wheelhouse_digest", interrupted)
    done = run("launch", "emr", *PLACES, "--gpus", "2")
    assert done.exit_code == 130
    assert "RunJobFlow" not in emr.asked
    assert done.stdout == ""


def test_ctrl_c_while_following_leaves_the_cluster_alone(emr, run, launched):
    emr.answers("DescribeCluster", cluster(launched, "RUNNING"))
    emr.answers("ListSteps", steps("RUNNING", "PENDING", "PENDING", "PENDING"), interrupt)
    done = run("emr", "wait", launched)
    assert done.exit_code == 130
    assert "step 1 of 4, hvdcells: etl: running" in done.output
    assert "goes on without this command" in done.output
    assert f"hvdcells emr terminate {launched}" in done.output
    assert "TerminateJobFlows" not in emr.asked


def test_no_secret_is_sent_to_emr_or_told_in_errors(emr, run, monkeypatch):
    secret, token = "wJalrPLANTEDsecretKEY0123456789", "FwoGPLANTEDtoken0123456789"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    monkeypatch.setenv("HF_TOKEN", token)
    done = run("launch", "emr", *PLACES, "--gpus", "2")
    assert done.exit_code == 0
    bodies = [body for _, body in emr.requests]
    assert any("hvdcells: train" in body for body in bodies)
    assert not any("PLANTED" in text for text in [*bodies, done.output])
    emr.answers("RunJobFlow", ("ValidationException", f"no such thing as {secret} or s3://cells/x?token={token}"))
    done = run("launch", "emr", *PLACES, "--gpus", "2")
    assert "ValidationException" in refused(done)
    assert "PLANTED" not in refused(done) + done.output
    assert WHEELHOUSE in bodies[-1] + "".join(bodies)
