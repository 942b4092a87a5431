"""The user's buckets: addresses taken apart, buckets asked for before they are needed, files put there encrypted."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hvdcells.errors import UserError
from launch.aws.errors import aws_errors

DEFAULT_REGION_OF_S3 = "us-east-1"


def bucket_and_key(location: str) -> tuple[str, str]:
    """Return bucket and key of an `s3://` address; the key has no slash at its ends.

    Raises:
        UserError: it is no such address.
    """
    scheme, _, rest = location.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme not in ("s3", "s3a", "s3n") or not bucket or any(sign in location for sign in "@?#"):
        shown = location.split("?")[0].rpartition("@")[2]
        raise UserError(
            f"the address {shown}",
            "s3://BUCKET/KEY, with nothing signed and no password in it",
            "name a place in a bucket that the machines' role may use; rights come from the role, not from the address",
        )
    return bucket, key.strip("/")


def check_bucket(s3: Any, location: str, region: str) -> None:
    """Refuse a bucket that is missing, not allowed, or in another region than the machines.

    Args:
        s3: a client of S3.
        location: any address in the bucket.
        region: where the machines will run.

    Raises:
        UserError: what is wrong with it.
    """
    from botocore.exceptions import ClientError

    bucket, _ = bucket_and_key(location)
    with aws_errors(f"looking for the bucket {bucket}"):
        try:
            answer = s3.head_bucket(Bucket=bucket)
        except ClientError as error:
            answer = error.response
            if answer["Error"]["Code"] not in ("301", "400"):
                raise
    found = answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region") or DEFAULT_REGION_OF_S3
    if found != region:
        raise UserError(
            f"the bucket {bucket} is in {found}, and the machines would be in {region}",
            "both in one region: traffic between regions is slow and paid for",
            f"give --region {found}, or use a bucket in {region}",
        )


def problems_of_buckets(s3: Any, places: Iterable[str], region: str) -> list[UserError]:
    """Return what is wrong with the buckets of some addresses, as `check_bucket` tells it, one problem a bucket."""
    problems = []
    for bucket in dict.fromkeys(bucket_and_key(place)[0] for place in places):
        try:
            check_bucket(s3, f"s3://{bucket}", region)
        except UserError as error:
            problems.append(error)
    return problems


def upload(s3: Any, content: bytes | Path, location: str, kms_key: str | None = None) -> str:
    """Put a file into a bucket, encrypted there, and return its address.

    Args:
        s3: a client of S3.
        content: the bytes, or the path of a file on this machine.
        location: `s3://BUCKET/KEY`.
        kms_key: the KMS key it is encrypted with; None for S3's own keys (AES-256).
    """
    bucket, key = bucket_and_key(location)
    with aws_errors(f"uploading {location}"):
        if isinstance(content, Path):
            s3.upload_file(str(content), bucket, key, ExtraArgs=encryption(kms_key))
        else:
            s3.put_object(Bucket=bucket, Key=key, Body=content, **encryption(kms_key))
    return location


def encryption(kms_key: str | None = None) -> dict[str, str]:
    """Return the arguments of an upload that encrypt it at rest."""
    if kms_key is None:
        return {"ServerSideEncryption": "AES256"}
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key}
