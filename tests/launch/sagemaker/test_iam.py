"""The policies of launch/assets/iam: all that the code asks of AWS is allowed, found by recording it."""

import json
import re
from pathlib import Path

import pytest

from hvdcells.experiment.recipes import small_cnn
from hvdcells.spark.backends import InProcess
from launch.sagemaker.options import STAGES
from tests.launch.sagemaker.conftest import ARGUMENTS
from tests.launch.sagemaker.launches import ROLE
from tests.small_dataset import write_small_dataset

POLICIES = Path(__file__).parents[3] / "launch" / "assets" / "iam"
ACTION_OF = {
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListObjectsV2": "ListBucket",
    "ListObjects": "ListBucket",
    "DeleteObjects": "DeleteObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
}
"""Of S3: the right that an operation needs, where it has another name (AWS's list of actions for S3)."""


def action(operation):
    """The IAM action of an operation as `service:Operation`."""
    service, _, name = operation.partition(":")
    return f"{service}:{ACTION_OF.get(name, name) if service == 's3' else name}"


def allowed(*names):
    """The actions that policies allow, without those of `*`."""
    found = set()
    for name in names:
        for statement in json.loads((POLICIES / name).read_text())["Statement"]:
            assert statement["Effect"] == "Allow"
            listed = statement["Action"]
            found |= {listed} if isinstance(listed, str) else set(listed)
    assert not any("*" in each for each in found)
    return found


@pytest.mark.aws
def test_the_launcher_may_do_all_that_the_commands_do_and_no_more(aws, hvdcells):
    base = ["launch", "sagemaker", *ARGUMENTS, "--source", "s3://cells/images"]
    name = re.compile(r"^hvdcells-[\w-]+$", re.MULTILINE)
    before = set()
    for stage in STAGES:
        aws.client("s3").put_object(Bucket="cells", Key="dataset/manifest.json", Body=b"{}")
        aws.asked.clear()
        done = hvdcells(*base, "--stages", stage, "--vary", "model.dropout=0,0.2")
        assert done.exit_code == 0, done.exception
        job = name.findall(done.stdout)[0]
        for kind, jobs in (("train", aws.jobs().training_jobs), ("etl", aws.jobs().processing_jobs)):
            if kind == stage:
                setattr(jobs[job], f"{'training' if kind == 'train' else 'processing'}_job_status", "InProgress")
        if stage == "tune":
            aws.jobs().hyper_parameter_tuning_jobs[job].hyper_parameter_tuning_job_status = "InProgress"
        aws.answers |= {"StopTrainingJob": [{}], "StopHyperParameterTuningJob": [{}]}  # not in moto
        for command in ("status", "logs", "stop"):
            hvdcells("sagemaker", command, job)
        before |= {action(operation) for operation, _ in aws.asked}
    # PassRole and AddTags are no operations that are called: SageMaker asks for them when a job with a role and with
    # tags is created.
    assert allowed("sagemaker_launcher.json") == before | {"iam:PassRole", "sagemaker:AddTags"}


def test_the_launcher_may_pass_one_role_to_one_service():
    policy = json.loads((POLICIES / "sagemaker_launcher.json").read_text())
    (statement,) = (each for each in policy["Statement"] if "iam:PassRole" in each["Action"])
    assert statement["Resource"] == ROLE.replace("123456789012", "ACCOUNT").replace("cells", "ROLE")
    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}


@pytest.mark.aws
@pytest.mark.slow
def test_the_role_may_do_all_that_a_run_in_s3_does(aws, tmp_path, monkeypatch):
    """Begin, train, stop, go on, evaluate: with dataset and run in S3, in this process, so that it can be recorded."""
    import aiobotocore.client
    import s3fs

    import hvdcells

    asked, make = set(), aiobotocore.client.AioBaseClient._make_api_call

    async def noted(self, operation_name, api_params):
        asked.add(f"{self.meta.service_model.service_name}:{operation_name}")
        return await make(self, operation_name, api_params)

    write_small_dataset(tmp_path, {"train": [[8, 8]], "validation": [[8]], "test": [[8]]})
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().put(f"{tmp_path}/", "cells/dataset/", recursive=True)
    monkeypatch.setattr(aiobotocore.client.AioBaseClient, "_make_api_call", noted)
    tiny = small_cnn().override({"training.epochs": 2, "data.batch_size": 8, "model.width": 0.1})
    for options in ({}, {"resume": True}, {"overwrite": True}):
        hvdcells.train("s3://cells/dataset", "s3://cells/run", tiny, backend=InProcess(), **options)
    hvdcells.evaluate("s3://cells/run")
    needed = {action(operation) for operation in asked}
    assert {"s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:ListBucket"} <= needed
    assert needed <= allowed("sagemaker_role.json")


def test_policies_say_whose_resources_they_are_for():
    for file in POLICIES.glob("sagemaker_*.json"):
        for statement in json.loads(file.read_text())["Statement"]:
            if statement.get("Resource") == "*":
                # These take no resource, or are held by a condition.
                assert statement["Sid"] in ("Login", "OnlyWithSubnets", "Metrics"), file.name
