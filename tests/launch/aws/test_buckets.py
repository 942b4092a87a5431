"""Buckets of an S3 double over HTTP."""

import pytest

from hvdcells.errors import UserError
from launch.aws.buckets import check_bucket, upload
from launch.aws.clients import client

pytestmark = pytest.mark.aws


def test_a_bucket_must_exist_and_be_where_the_machines_are(s3):
    here = client("s3", "us-east-1")
    here.create_bucket(Bucket="near")
    here.create_bucket(Bucket="far", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    check_bucket(here, "s3://near/anything", "us-east-1")
    with pytest.raises(UserError, match="eu-west-1"):
        check_bucket(here, "s3://far/anything", "us-east-1")
    with pytest.raises(UserError, match="aws s3 mb"):
        check_bucket(here, "s3://none/anything", "us-east-1")


def test_uploads_are_encrypted(s3, tmp_path):
    here = client("s3", "us-east-1")
    here.create_bucket(Bucket="uploads")
    (tmp_path / "file").write_text("from disk")
    for key, content in (("bytes", b"from memory"), ("file", tmp_path / "file")):
        assert upload(here, content, f"s3://uploads/{key}") == f"s3://uploads/{key}"
        assert here.head_object(Bucket="uploads", Key=key)["ServerSideEncryption"] == "AES256"
    with pytest.raises(UserError, match="aws s3 mb"):
        upload(here, b"", "s3://none/key")
