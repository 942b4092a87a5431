"""Clients of AWS services: one way to make them, so that retries and errors are the same everywhere."""

from difflib import get_close_matches
from typing import Any

from hvdcells.errors import UserError
from launch.aws.errors import aws_errors

ATTEMPTS = 6
"""Tries of a request that is throttled or fails on AWS's side; the pauses between them grow."""


def client(service: str, region: str | None = None) -> Any:
    """Return a boto3 client with credentials and region found the usual AWS way; `AWS_ENDPOINT_URL` is honoured.

    Args:
        service: boto3's name of it, such as `emr`.
        region: None for that of the environment or the AWS profile.

    Raises:
        UserError: no region is given anywhere, the service has no such region, or the profile does not exist.
    """
    import boto3
    from botocore.config import Config

    with aws_errors(f"making a client of {service}"):
        session = boto3.Session(region_name=region)
        made = session.client(
            service,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                connect_timeout=10,
                user_agent_extra="hvdcells",
            ),
        )
    _check_region(session, service, made.meta.region_name)
    return made


def _check_region(session: Any, service: str, region: str) -> None:
    known = {
        name
        for partition in session.get_available_partitions()
        for name in session.get_available_regions(service, partition)
    }
    # S3 alone has this pseudo-region.
    if region in known or region == "aws-global":
        return
    close = get_close_matches(region, sorted(known), n=3) or sorted(known)[:3]
    raise UserError(
        f"the region {region!r} for {service}",
        f"a region that has it, such as {', '.join(close)}",
        "correct --region or AWS_DEFAULT_REGION (a region newer than this boto3 needs a newer boto3)",
    )


def default_region() -> str:
    """Return the region of the environment or of the AWS profile.

    Raises:
        UserError: there is none.
    """
    import boto3

    with aws_errors("finding the region"):
        region = boto3.Session().region_name
    if region is None:
        raise UserError("no region", "the AWS region of your buckets", "give --region or export AWS_DEFAULT_REGION")
    return str(region)
