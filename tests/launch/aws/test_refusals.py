"""What AWS and botocore refuse, as the user reads it, and requests refused before they are sent."""

import pytest

from hvdcells.errors import UserError
from launch.aws.buckets import bucket_and_key, encryption
from launch.aws.clients import client
from launch.aws.errors import aws_errors
from launch.aws.estimate import Machines, estimate
from launch.aws.requests import check_request
from launch.clusters.instances import catalogue

REFUSALS = {
    "ExpiredToken": ("The token has expired", "renew them"),
    "InvalidClientTokenId": ("The security token is invalid", "AWS_PROFILE"),
    "AccessDeniedException": ("User: x is not authorized to perform: iam:PassRole on y", "the right to iam:PassRole"),
    "AccessDenied": ("Access Denied", "the right to RunJobFlow"),
    "ThrottlingException": ("Rate exceeded", "after 3 tries"),
    "ResourceLimitExceeded": ("The account-level service limit is 0 Instances", "Service Quotas"),
    "InvalidRequestException": ("You have exceeded your vCPU limit", "Service Quotas"),
    "NoSuchBucket": ("The specified bucket does not exist", "aws s3 mb"),
    "PermanentRedirect": ("The bucket must be addressed elsewhere", "--region"),
    "ValidationException": ("The subnet does not exist", "--dry-run"),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_refusals_say_what_to_do(code):
    from botocore.exceptions import ClientError

    message, words = REFUSALS[code]
    answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"RetryAttempts": 2}}
    with pytest.raises(UserError) as caught, aws_errors("starting a cluster"):
        raise ClientError(answer, "RunJobFlow")
    assert "starting a cluster" in str(caught.value)
    assert words in str(caught.value)


def test_what_is_the_fault_of_aws_stays_as_it_is():
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError), aws_errors("starting a cluster"):
        raise ClientError({"Error": {"Code": "InternalFailure", "Message": "sorry"}}, "RunJobFlow")


def test_no_answer_no_credentials_and_no_region_are_told(monkeypatch, tmp_path):
    from botocore import exceptions

    with pytest.raises(UserError, match="aws configure"), aws_errors("asking"):
        raise exceptions.NoCredentialsError
    with pytest.raises(UserError, match="network") as caught, aws_errors("asking"):
        raise exceptions.EndpointConnectionError(endpoint_url="http://me:hunter22@127.0.0.1/")
    assert "hunter22" not in str(caught.value)
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(UserError, match="a region"):
        client("emr")
    with pytest.raises(UserError, match=r"us-esat-1[\s\S]*us-east-1"):
        client("emr", "us-esat-1")
    assert client("emr", "eu-west-1").meta.region_name == "eu-west-1"


def test_requests_are_checked_against_the_model_of_the_service():
    group = {"InstanceRole": "CORE", "InstanceType": "g4dn.xlarge", "InstanceCount": 2}
    good = {"Name": "cells", "ReleaseLabel": "emr-7.11.0", "Instances": {"InstanceGroups": [group]}}
    check_request("emr", "RunJobFlow", good)
    bad = {
        "Name": "n" * 257,
        "Instances": {"InstanceGroups": [{**group, "InstanceRole": "CORES", "InstanceCount": "2"}]},
        "Nmae": "x",
    }
    with pytest.raises(UserError) as caught:
        check_request("emr", "RunJobFlow", bad)
    for words in ("'CORES', not one of MASTER, CORE, TASK", "257 characters", "Nmae", "InstanceCount"):
        assert words in str(caught.value)
    with pytest.raises(UserError, match="does not match"):
        check_request("sagemaker", "StopTrainingJob", {"TrainingJobName": "a_b"})


def test_estimates_add_up_and_name_the_date_of_their_prices():
    prices = catalogue()
    made = estimate(
        [Machines("primary", "m5.xlarge", 1, "emr"), Machines("core", "g4dn.xlarge", 4, "emr", spot=True, ebs_gib=100)],
        2.5,
        prices,
    )
    core = 4 * (prices.usd_per_hour("g4dn.xlarge", "emr", spot=True) + 100 * prices.ebs_gib_month_usd / 730)
    assert made.usd_per_hour == pytest.approx(prices.usd_per_hour("m5.xlarge", "emr") + core, abs=2e-4)
    assert made.usd == pytest.approx(2.5 * made.usd_per_hour, abs=1e-3)
    assert "about" in str(made)
    assert prices.as_of in str(made)
    assert made.to_dict()["rows"][1]["market"] == "spot"
    disks = 4 * 100 * prices.ebs_gib_month_usd / 730
    least = prices.known_usd_per_hour("g4dn.xlarge", "emr", spot=True).least
    assert made.rows[1].usd_least == pytest.approx(2.5 * (4 * least + disks), abs=1e-3)
    assert made.rows[0].usd_least == made.rows[0].usd
    assert f"{made.usd_least:.2f} to {made.usd:.2f}" in str(made)
    with pytest.raises(UserError, match="--hours"):
        estimate([], 0, prices)


def test_an_estimate_says_what_it_could_not_count():
    made = estimate([Machines("core", "g6.xlarge", 2, "emr"), Machines("more", "g6.xlarge", 1, "emr")], 1, catalogue())
    assert made.missing == ("EMR's surcharge of g6.xlarge",)
    assert made.usd == pytest.approx(3 * catalogue().named("g6.xlarge").ec2_usd)
    assert "more than" in str(made)
    assert "without EMR's surcharge of g6.xlarge" in str(made)


def test_addresses_of_buckets():
    assert bucket_and_key("s3://cells/a/b/") == ("cells", "a/b")
    for wrong in ("/tmp/x", "https://h/x?X-Amz-Signature=abcdef", "s3://user:hunter22@cells/x", "s3://"):
        with pytest.raises(UserError) as caught:
            bucket_and_key(wrong)
        assert "hunter22" not in str(caught.value)
        assert "abcdef" not in str(caught.value)
    assert encryption() == {"ServerSideEncryption": "AES256"}
    assert encryption("key")["ServerSideEncryption"] == "aws:kms"
