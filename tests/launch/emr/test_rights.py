"""The policies of launch/assets/iam, and that the launcher's allows just what the commands ask."""

import json
from fnmatch import fnmatchcase
from pathlib import Path

import botocore.client
import pytest

from tests.launch.emr.conftest import PLACES

POLICIES = sorted((Path(__file__).parents[3] / "launch" / "assets" / "iam").glob("emr_*.json"))
ACTIONS = {
    "HeadBucket": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "GetObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
}
"""S3's operations whose right has another name; an operation that is not here fails the test."""
SPARE = {"elasticmapreduce:CancelSteps", "elasticmapreduce:ListClusters"}
"""What the messages tell a user to do with the AWS command."""


def statements(path: Path) -> list[dict]:
    document = json.loads(path.read_text())
    assert document["Version"] == "2012-10-17"
    return document["Statement"]


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_policies_are_well_formed_and_wide_open_nowhere(path):
    trust = path.stem.endswith("_trust")
    for statement in statements(path):
        assert statement["Effect"] in ("Allow", "Deny")
        assert ("Principal" in statement) == trust
        assert ("Resource" in statement) != trust
        assert set(statement) <= {"Sid", "Effect", "Action", "Resource", "Principal", "Condition"}
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert not any("*" in action for action in actions)
        if statement.get("Resource") == "*":
            assert "Condition" in statement or all(":List" in action for action in actions)


def test_there_is_a_policy_for_each_who_acts():
    assert {path.stem for path in POLICIES} == {
        "emr_builder",
        "emr_launcher",
        "emr_instance_profile",
        "emr_instance_trust",
        "emr_service_role",
        "emr_service_trust",
    }


def test_roles_are_handed_over_by_name():
    for path in POLICIES:
        for statement in statements(path):
            if "iam:PassRole" in statement["Action"]:
                resources = statement["Resource"]
                assert not any(
                    "*" in resource for resource in ([resources] if isinstance(resources, str) else resources)
                )
                assert "iam:PassedToService" in json.dumps(statement["Condition"])


@pytest.mark.aws
def test_the_launcher_may_do_what_the_commands_ask_and_no_more(emr, run, launched, monkeypatch):
    called: list[tuple[str, str, dict]] = []
    real = botocore.client.BaseClient._make_api_call

    def noted(self, operation: str, params: dict):
        called.append((self.meta.service_model.service_name, operation, params))
        return real(self, operation, params)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", noted)
    build = ["--build-environment", "--environment", "s3://cells/env", "--logs", "s3://logs/emr"]
    for words in (
        ["launch", "emr", *PLACES, "--gpus", "2", "--keep"],
        ["launch", "emr", *PLACES, "--gpus", "2", "--attach", launched],
        ["launch", "emr", *build],
        ["launch", "emr", "--list-machines"],
        ["emr", "status", launched],
        ["emr", "logs", launched],
        ["emr", "logs", launched, "--log", "bootstrap"],
        ["emr", "cost", launched],
        ["emr", "terminate", launched],
        ["emr", "wait", launched],
    ):
        run(*words)
    needed = {_action(*call) for call in called} | {"iam:PassRole"}
    for service, operation, params in called:
        if (service, operation) == ("emr", "RunJobFlow"):
            needed |= {"elasticmapreduce:AddTags"} if params.get("Tags") else set()
            needed |= {"elasticmapreduce:PutAutoTerminationPolicy"} if params.get("AutoTerminationPolicy") else set()
    assert {"elasticmapreduce:RunJobFlow", "elasticmapreduce:ListSteps", "s3:GetObject", "s3:PutObject"} < needed
    [launcher] = [path for path in POLICIES if path.stem == "emr_launcher"]
    allowed = {action for statement in statements(launcher) for action in statement["Action"]}
    assert needed == allowed - SPARE
    # Tags are what the launcher's rights hang on.
    tags = next(params["Tags"] for _, operation, params in called if operation == "RunJobFlow")
    assert {"Key": "project", "Value": "hvdcells"} in tags
    written = {(params["Bucket"], params["Key"]) for _, operation, params in called if operation == "PutObject"}
    assert all(fnmatchcase(f"{bucket}/{key}", "cells/*env*/*") for bucket, key in written)


def _action(service: str, operation: str, _params: dict) -> str:
    return f"elasticmapreduce:{operation}" if service == "emr" else ACTIONS[operation]
