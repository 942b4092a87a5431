"""The CloudFormation template of an account: as cfn-lint wants it, and made of the policies as they are on file."""

import json
import os
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import boto3
import pytest

from hvdcells.errors import UserError
from launch.aws.clients import client
from launch.emr.options import AskedEmr
from launch.emr.setup import setup_template

PLACES = {
    "source": "s3://images/c-nmc",
    "dataset": "s3://cells/dataset",
    "run": "s3://cells/runs",
    "environment": "s3://cells/runs/hvdcells/environment",
    "logs": "s3://cells/runs/hvdcells/logs",
}
COMMAND = ["emr", "setup", *(word for name in ("source", "dataset", "run") for word in (f"--{name}", PLACES[name]))]


def test_the_command_prints_what_cfn_lint_finds_nothing_wrong_in(run, tmp_path):
    printed = run(*COMMAND)
    assert printed.exit_code == 0, printed.exception
    assert json.loads(printed.stdout) == setup_template(PLACES)
    (tmp_path / "setup.json").write_text(printed.stdout)
    lint = [Path(sys.executable).parent / "cfn-lint", "--regions", "us-east-1", "--", tmp_path / "setup.json"]
    done = subprocess.run(lint, capture_output=True, text=True, env={**os.environ, "HOME": str(tmp_path)})
    assert done.returncode == 0, done.stdout
    (tmp_path / "setup.json").write_text(printed.stdout.replace('"RoleName"', '"RolName"'))
    assert subprocess.run(lint, capture_output=True, env={**os.environ, "HOME": str(tmp_path)}).returncode != 0


def test_no_placeholder_is_left_and_rights_are_for_the_folders_alone():
    text = json.dumps(setup_template(PLACES))
    assert not [word for word in ("ACCOUNT", "REGION", "BUCKET", "SOURCE/") if word in text.replace("AWS::REGION", "")]
    machines = setup_template(PLACES)["Resources"]["MachinesRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    by_name = {statement["Sid"]: statement["Resource"] for statement in machines["Statement"]}
    assert by_name["ListTheBucket"] == ["arn:aws:s3:::cells", "arn:aws:s3:::images"]
    environment = "arn:aws:s3:::cells/runs/hvdcells/environment/*"
    assert by_name["ReadImagesAndEnvironment"] == ["arn:aws:s3:::images/c-nmc/*", environment]
    assert "arn:aws:s3:::cells/runs/*" in by_name["WriteDatasetsRunsAndLogs"]
    # It lies in the folder of the runs, where they may write.
    assert by_name["LeaveTheEnvironmentAsItWasBuilt"] == environment


def test_only_the_builder_may_write_what_machines_install():
    resources = setup_template(PLACES)["Resources"]
    written = {
        role: [
            statement
            for statement in resources[role]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
            if "s3:PutObject" in statement["Action"] and "environment" in json.dumps(statement["Resource"])
        ]
        for role in ("MachinesRole", "BuilderRole")
    }
    assert [statement["Effect"] for statement in written["MachinesRole"]] == ["Deny"]
    assert [statement["Effect"] for statement in written["BuilderRole"]] == ["Allow"]


def test_what_launches_ask_for_by_default_is_what_the_template_makes():
    parameters = setup_template(PLACES)["Parameters"]
    asked = AskedEmr()
    assert parameters["ServiceRole"]["Default"] == asked.service_role == "EMR_DefaultRole_V2"
    assert parameters["InstanceProfile"]["Default"] == asked.instance_profile
    assert parameters["BuilderProfile"]["Default"] == asked.builder_profile
    role = setup_template(PLACES)["Resources"]["EmrRole"]["Properties"]  # moto attaches no policies of AWS's own
    assert role["ManagedPolicyArns"] == ["arn:aws:iam::aws:policy/service-role/AmazonEMRServicePolicy_v2"]


@pytest.mark.aws
def test_it_is_deployed_twice_and_roles_and_endpoint_are_there(emr):
    network = client("ec2", "us-east-1")
    vpc = network.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    table = network.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    given = {"Vpc": vpc, "RouteTables": table, "ServiceRole": "cells-emr"}
    stack = {
        "StackName": "hvdcells",
        "TemplateBody": json.dumps(setup_template(PLACES)),
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
    }
    formation = client("cloudformation", "us-east-1")
    formation.create_stack(**stack)
    changed = {**PLACES, "source": "s3://others/images"}
    formation.update_stack(**{**stack, "TemplateBody": json.dumps(setup_template(changed))})
    iam = boto3.client("iam", "us-east-1")  # a service of no region
    trust = iam.get_role(RoleName="cells-emr")["Role"]["AssumeRolePolicyDocument"]
    assert trust["Statement"][0]["Principal"] == {"Service": "elasticmapreduce.amazonaws.com"}
    assert trust["Statement"][0]["Condition"]["StringEquals"]["aws:SourceAccount"] == "123456789012"
    [profile] = iam.list_instance_profiles_for_role(RoleName="EMR_EC2_DefaultRole")["InstanceProfiles"]
    assert profile["InstanceProfileName"] == "EMR_EC2_DefaultRole"
    policy = iam.get_policy(PolicyArn="arn:aws:iam::123456789012:policy/hvdcells-launcher")["Policy"]
    version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"])
    handed = [each for each in version["PolicyVersion"]["Document"]["Statement"] if "iam:PassRole" in each["Action"]]
    assert handed[0]["Resource"][0] == "arn:aws:iam::123456789012:role/cells-emr"
    [endpoint] = network.describe_vpc_endpoints()["VpcEndpoints"]
    assert endpoint["ServiceName"] == "com.amazonaws.us-east-1.s3"
    assert endpoint["RouteTableIds"] == [table]
    assert not [role for role in iam.list_roles()["Roles"] if fnmatchcase(role["RoleName"], "*Spot*")]


def test_places_that_are_none_are_refused_together():
    with pytest.raises(UserError) as caught:
        setup_template({**PLACES, "source": "/images", "run": "s3://cells"})
    assert "--source" in str(caught.value)
    assert "a whole bucket" in str(caught.value)
