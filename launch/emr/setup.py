"""What an account needs once, as one CloudFormation template: roles, the launcher's policy, the way to S3.

Made of the policies in `launch/assets/iam`, with the user's places in them. Deploying it again changes what differs.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hvdcells.errors import UserError, raise_together
from launch.aws.buckets import bucket_and_key

IAM = Path(__file__).parent.parent / "assets" / "iam"
PLACES = ("source", "dataset", "run", "environment", "logs")
MANAGED_POLICY = "arn:aws:iam::aws:policy/service-role/AmazonEMRServicePolicy_v2"
"""AWS's own policy for the role that EMR acts in."""
SPOT_SERVICE = "spot.amazonaws.com"


def setup_template(places: Mapping[str, str]) -> dict[str, Any]:
    """Return the CloudFormation template.

    Args:
        places: `s3://` addresses, by the names in `PLACES`.

    Raises:
        UserError: addresses that are no plain ones in S3, or whole buckets; all of them together.
    """
    raise_together(_wrong(places))
    service, machines, builder = ({"Ref": name} for name in ("ServiceRole", "InstanceProfile", "BuilderProfile"))
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "hvdcells on Amazon EMR: roles, the launcher's policy, and a gateway endpoint for S3.",
        "Parameters": {
            "ServiceRole": _parameter("Name of the role that EMR acts in (--service-role).", "EMR_DefaultRole_V2"),
            "InstanceProfile": _parameter(
                "Name of the machines' role and profile (--instance-profile).", "EMR_EC2_DefaultRole"
            ),
            "BuilderProfile": _parameter(
                "Name of the role and profile of the machine that builds the environment (--builder-profile).",
                "hvdcells_builder",
            ),
            "SpotServiceRole": _parameter(
                "yes where the account has never used spot machines, nor has AWSServiceRoleForEC2Spot.",
                "no",
                AllowedValues=["yes", "no"],
            ),
            "Vpc": _parameter("Network that gets a gateway endpoint for S3; empty for none.", ""),
            "RouteTables": {
                "Type": "CommaDelimitedList",
                "Default": "",
                "Description": "Route tables of that network's subnets.",
            },
        },
        "Conditions": {
            "FirstSpot": {"Fn::Equals": [{"Ref": "SpotServiceRole"}, "yes"]},
            "WithEndpoint": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Vpc"}, ""]}]},
        },
        "Resources": {
            "EmrRole": _role(
                service, "emr_service_trust", "emr_service_role", places, ManagedPolicyArns=[MANAGED_POLICY]
            ),
            "MachinesRole": _role(machines, "emr_instance_trust", "emr_instance_profile", places),
            "MachinesProfile": _profile(machines, "MachinesRole"),
            # Apart: what machines install is nothing that machines can write.
            "BuilderRole": _role(builder, "emr_instance_trust", "emr_builder", places),
            "BuilderMachineProfile": _profile(builder, "BuilderRole"),
            "LauncherPolicy": {
                "Type": "AWS::IAM::ManagedPolicy",
                "Properties": {
                    "ManagedPolicyName": "hvdcells-launcher",
                    "PolicyDocument": _policy("emr_launcher", places),
                },
            },
            "SpotRole": {
                "Type": "AWS::IAM::ServiceLinkedRole",
                "Condition": "FirstSpot",
                "Properties": {"AWSServiceName": SPOT_SERVICE},
            },
            "S3Endpoint": {
                "Type": "AWS::EC2::VPCEndpoint",
                "Condition": "WithEndpoint",
                "Properties": {
                    "VpcEndpointType": "Gateway",
                    "ServiceName": {"Fn::Sub": "com.amazonaws.${AWS::Region}.s3"},
                    "VpcId": {"Ref": "Vpc"},
                    "RouteTableIds": {"Ref": "RouteTables"},
                },
            },
        },
        "Outputs": {
            "LauncherPolicyArn": {
                "Description": "Attach it to whoever launches.",
                "Value": {"Ref": "LauncherPolicy"},
            }
        },
    }


def _parameter(description: str, default: str, **more: Any) -> dict[str, Any]:
    return {"Type": "String", "Default": default, "Description": description, **more}


def _profile(name: dict[str, str], role: str) -> dict[str, Any]:
    return {
        "Type": "AWS::IAM::InstanceProfile",
        "Properties": {"InstanceProfileName": name, "Roles": [{"Ref": role}]},
    }


def _role(name: dict[str, str], trust: str, rights: str, places: Mapping[str, str], **more: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": name,
            "AssumeRolePolicyDocument": _policy(trust, places),
            "Policies": [{"PolicyName": "hvdcells", "PolicyDocument": _policy(rights, places)}],
            **more,
        },
    }


def _wrong(places: Mapping[str, str]) -> Iterator[UserError]:
    for name in PLACES:
        try:
            _, key = bucket_and_key(places[name])
        except UserError as error:
            yield UserError(f"--{name}: {error.given}", error.expected, error.remedy)
            continue
        if not key:
            yield UserError(
                f"--{name} {places[name]}, a whole bucket",
                "a folder in it: rights are given for folders",
                f"name a folder, such as s3://BUCKET/{name}",
            )


def _policy(name: str, places: Mapping[str, str]) -> dict[str, Any]:
    """Return one of the policies, with the user's places and CloudFormation's account and region in it."""
    document: dict[str, Any] = json.loads((IAM / f"{name}.json").read_text())
    found: dict[str, Any] = _filled(document, places)
    return found


def _filled(value: Any, places: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, places) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, places) for each in value]
    if value == "arn:aws:s3:::BUCKET":
        buckets = sorted({bucket_and_key(place)[0] for place in places.values()})
        return [f"arn:aws:s3:::{bucket}" for bucket in buckets]
    for place in PLACES:
        if f":::BUCKET/{place.upper()}/" in value:
            bucket, key = bucket_and_key(places[place])
            value = value.replace(f":::BUCKET/{place.upper()}/", f":::{bucket}/{key}/")
    for word, parameter in (
        ("ACCOUNT", "${AWS::AccountId}"),
        ("REGION", "${AWS::Region}"),
        ("role/EMR_DefaultRole_V2", "role/${ServiceRole}"),
        ("role/EMR_EC2_DefaultRole", "role/${InstanceProfile}"),
        ("role/hvdcells_builder", "role/${BuilderProfile}"),
    ):
        value = value.replace(word, parameter)
    return {"Fn::Sub": value} if "${" in value else value
