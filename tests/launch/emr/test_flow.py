"""From a launch to the end of its cluster, through the command, against moto over HTTP."""

import gzip
import json

import pytest

from launch.aws.clients import client
from tests.launch.emr.conftest import PLACES, WHEELHOUSE, cluster, steps

pytestmark = pytest.mark.aws


def put_log(key: str, text: str) -> None:
    client("s3", "us-east-1").put_object(Bucket="logs", Key=f"emr/{key}", Body=gzip.compress(text.encode()))


def test_launch_status_logs_and_terminate(emr, run, launched):
    """All of it moto's own answers: it keeps the first step running and the others pending."""
    assert launched.startswith("j-")
    status = run("emr", "status", launched)
    assert status.exit_code == 0
    for words in (launched, "hvdcells: etl", "running", "hvdcells: report", "pending"):
        assert words in status.output
    asked = client("emr", "us-east-1")
    described = asked.describe_cluster(ClusterId=launched)["Cluster"]
    assert described["LogUri"] == "s3://logs/emr/"
    assert {"Key": "project", "Value": "hvdcells"} in described["Tags"]
    kept = client("s3", "us-east-1").head_object(Bucket="cells", Key=f"{WHEELHOUSE}/bootstrap_emr.sh")
    assert kept["ServerSideEncryption"] == "AES256"

    first = next(step for step in asked.list_steps(ClusterId=launched)["Steps"] if step["Name"] == "hvdcells: etl")
    put_log(f"{launched}/steps/{first['Id']}/stdout.gz", "480 images in 9 s\n")
    assert run("emr", "logs", launched, "--step", first["Id"]).stdout == "480 images in 9 s\n"
    missing = run("emr", "logs", launched, "--log", "stderr")
    assert "every five minutes" in str(missing.exception)
    assert "correct --step" in str(run("emr", "logs", launched, "--step", "s-none").exception)

    assert run("emr", "terminate", launched).exit_code == 0
    waited = run("emr", "wait", launched)
    assert "terminated" in waited.output


def test_the_digest_of_the_wheelhouse_is_in_the_request(emr, run, launched):
    import hashlib

    [body] = [body for operation, body in emr.requests if operation == "RunJobFlow"]
    arguments = json.loads(body)["BootstrapActions"][0]["ScriptBootstrapAction"]["Args"]
    assert arguments[1] == hashlib.sha256(b"made up").hexdigest()


def test_waiting_tells_each_change_once_and_ends_with_the_cluster(emr, run, launched):
    emr.answers(
        "DescribeCluster",
        cluster(launched, "STARTING"),
        cluster(launched, "RUNNING"),
        cluster(launched, "RUNNING"),
        cluster(launched, "RUNNING"),
        cluster(launched, "TERMINATED", "ALL_STEPS_COMPLETED", "Steps completed"),
    )
    emr.answers(
        "ListSteps",
        steps("PENDING", "PENDING", "PENDING", "PENDING"),
        steps("RUNNING", "PENDING", "PENDING", "PENDING"),
        steps("RUNNING", "PENDING", "PENDING", "PENDING"),
        steps("COMPLETED", "RUNNING", "PENDING", "PENDING"),
        steps("COMPLETED", "COMPLETED", "COMPLETED", "COMPLETED"),
    )
    done = run("emr", "wait", launched)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert len(lines) == len(set(lines))
    for line in (
        f"cluster {launched}: starting",
        "  step 1 of 4, hvdcells: etl: running",
        "  step 1 of 4, hvdcells: etl: completed after 40 s",
        "  step 2 of 4, hvdcells: train: running",
        "  step 4 of 4, hvdcells: report: completed after 40 s",
        f"cluster {launched}: terminated (ALL_STEPS_COMPLETED: Steps completed)",
    ):
        assert line in lines


def test_a_step_that_fails(emr, run, launched):
    emr.answers(
        "DescribeCluster", cluster(launched, "TERMINATED_WITH_ERRORS", "STEP_FAILURE", "Shut down, step failed")
    )
    emr.answers("ListSteps", steps("COMPLETED", "FAILED", "CANCELLED", "CANCELLED", reason="Exit code 2"))
    put_log(f"{launched}/steps/s-1/stdout.gz", "error: the recipe 'x'\n")
    done = run("emr", "wait", launched)
    assert done.exit_code == 1
    assert "hvdcells: train: failed after 40 s (Exit code 2)" in done.output
    assert f"Why: hvdcells emr logs {launched}" in done.output
    # Without a step named, the one that failed.
    assert run("emr", "logs", launched).stdout == "error: the recipe 'x'\n"
    assert run("emr", "status", launched).exit_code == 1


@pytest.mark.parametrize(
    ("code", "message", "remedy"),
    [
        ("BOOTSTRAP_FAILURE", "On the master instance, bootstrap action 1 returned a non-zero code", "--log bootstrap"),
        (
            "VALIDATION_ERROR",
            "You have requested more vCPU capacity than your current vCPU limit of 0",
            "Service Quotas",
        ),
        ("INTERNAL_ERROR", "Insufficient capacity: no Spot capacity for g4dn.xlarge", "another --instance"),
        ("INSTANCE_FAILURE", "The instance profile EMR_EC2_DefaultRole is not authorized", "launch/assets/iam"),
    ],
)
def test_a_cluster_that_ends_itself(emr, run, launched, code, message, remedy):
    emr.answers("DescribeCluster", cluster(launched, "TERMINATED_WITH_ERRORS", code, message))
    emr.answers("ListSteps", steps("CANCELLED", "CANCELLED", "CANCELLED", "CANCELLED"))
    for command in ("wait", "status"):
        done = run("emr", command, launched)
        assert done.exit_code == 1
        assert message in done.output
        assert remedy in done.output


def test_logs_of_a_bootstrap_that_failed(emr, run, launched):
    assert "every five minutes" in str(run("emr", "logs", launched, "--log", "bootstrap").exception)
    put_log(f"{launched}/node/i-01/bootstrap-actions/1/stderr.gz", "bootstrap_emr.sh: no environment\n")
    put_log(f"{launched}/node/i-01/applications/spark/spark.log.gz", "of no interest\n")
    done = run("emr", "logs", launched, "--log", "bootstrap")
    assert done.stdout == "== i-01/bootstrap-actions/1/stderr.gz\nbootstrap_emr.sh: no environment\n"


def test_steps_are_added_to_a_cluster_and_waited_for_alone(emr, run, launched):
    done = run("launch", "emr", *PLACES, "--gpus", "2", "--attach", launched)
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == launched
    assert "cancel-steps" in done.output
    assert "hvdcells emr terminate" not in done.output  # it is not this launch's cluster
    assert len(client("emr", "us-east-1").list_steps(ClusterId=launched)["Steps"]) == 8
    emr.answers("AddJobFlowSteps", {"StepIds": ["s-2", "s-3"]})
    emr.answers("ListSteps", steps("FAILED", "RUNNING", "COMPLETED", "COMPLETED"))
    # Another's step failed and one goes on: neither is ours.
    assert run("launch", "emr", *PLACES, "--gpus", "2", "--attach", launched, "--wait").exit_code == 0
    emr.answers("ListSteps", steps("COMPLETED", "RUNNING", "COMPLETED", "FAILED"))
    assert run("launch", "emr", *PLACES, "--gpus", "2", "--attach", launched, "--wait").exit_code == 1
    emr.scripts.clear()
    run("emr", "terminate", launched)
    ended = run("launch", "emr", *PLACES, "--gpus", "2", "--attach", launched)
    assert "leave --attach out" in str(ended.exception)


def test_the_environment_is_built_on_a_machine_of_its_own(emr, run):
    done = run("launch", "emr", "--build-environment", "--environment", "s3://cells/env", "--logs", "s3://logs/emr")
    assert done.exit_code == 0, done.output
    assert done.stdout.strip().startswith("j-")
    listed = client("s3", "us-east-1").list_objects_v2(Bucket="cells", Prefix="env/build/")["Contents"]
    names = {each["Key"].removeprefix("env/build/") for each in listed}
    assert {"requirements.txt", "build_wheelhouse.sh", "build_horovod_nccl.sh"} < names
    assert any(name.startswith("hvdcells-") and name.endswith(".whl") for name in names)
    pins = client("s3", "us-east-1").get_object(Bucket="cells", Key="env/build/requirements.txt")["Body"].read()
    assert b"tensorflow[and-cuda]==2.18.1" in pins
    assert not any(line.startswith((b"horovod", b"hvdcells")) for line in pins.splitlines())


def test_machines_are_listed_of_the_release_page_by_page_before_anything_is_started(emr, run):
    pages = ("g4dn.xlarge", "m5.xlarge", "x9.huge"), ("g6.xlarge", "p5e.48xlarge")
    answers = [{"SupportedInstanceTypes": [{"Type": name} for name in names]} for names in pages]
    emr.answers("ListSupportedInstanceTypes", answers[0] | {"Marker": "next"}, answers[1])
    done = run("launch", "emr", "--list-machines", "--release", "emr-7.13.0", "--region", "us-east-1")
    assert done.exit_code == 0, done.exception
    bodies = [json.loads(body) for operation, body in emr.requests if operation == "ListSupportedInstanceTypes"]
    assert bodies == [{"ReleaseLabel": "emr-7.13.0"}, {"ReleaseLabel": "emr-7.13.0", "Marker": "next"}]
    assert emr.asked == ["ListSupportedInstanceTypes"] * 2
    offered, _, left_out = done.output.partition("Not offered there")
    for words in ("emr-7.13.0", "g4dn.xlarge", "1 T4", "0.658", "g6.xlarge", "0.805 + EMR", "no source"):
        assert words in " ".join(offered.split())
    assert "g5.xlarge" not in offered
    assert "g5.xlarge" in left_out
    assert "1 more types" in left_out


def test_a_release_that_emr_does_not_know_is_the_user_s_error(emr, run):
    emr.answers("ListSupportedInstanceTypes", ("ValidationException", "The supplied release label is invalid"))
    done = run("launch", "emr", "--list-machines", "--release", "emr-9.9.9", "--region", "us-east-1")
    assert "release label is invalid" in str(done.exception)
