"""What the world does to a command ends it with exit code 2 and one message that says what to do."""

import errno
import os
import re
from pathlib import Path

import pytest

from hvdcells import storage
from hvdcells.errors import UserError
from launch.cli import main
from tests.small_dataset import write_small_dataset


@pytest.fixture
def refused(monkeypatch, capsys):
    """Run the command, see that it is refused, and return the message in one line."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["hvdcells", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        message = capsys.readouterr().err
        assert ended.value.code == 2, message
        assert message.startswith("error: ")
        assert "expected:" in message
        assert "what to do:" in message
        assert "Traceback" not in message
        return message.replace("\n", " ")

    return run


@pytest.fixture
def dataset(tmp_path):
    return write_small_dataset(tmp_path / "dataset", {"train": [[8, 8]], "validation": [[8, 8]]}).location


@pytest.fixture
def aws(monkeypatch):
    """Set the variables of AWS and nothing else of it: no file, no service of the machine."""
    import s3fs

    def settings(**variables):
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in {"EC2_METADATA_DISABLED": "true", "MAX_ATTEMPTS": "1", **variables}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        s3fs.S3FileSystem.clear_instance_cache()

    yield settings
    s3fs.S3FileSystem.clear_instance_cache()


KEYS = {"ACCESS_KEY_ID": "testing", "SECRET_ACCESS_KEY": "testing", "DEFAULT_REGION": "us-east-1"}


def test_a_protocol_that_nobody_knows(refused, dataset):
    for arguments in (("check", "foo://place"), ("train", dataset, "foo://place"), ("etl", "foo://place", "dataset")):
        assert re.search("foo://place: Protocol not known.*correct the address", refused(*arguments))


def test_a_protocol_whose_package_is_missing(refused, dataset):
    assert re.search("gs://bucket/run: a package is missing.*gcsfs", refused("train", dataset, "gs://bucket/run"))


def test_an_address_shows_no_password(refused):
    assert "geheim" not in refused("check", "foo://me:geheim@place/dataset")


def test_no_credentials(refused, dataset, aws):
    aws(ENDPOINT_URL="http://127.0.0.1:9")
    for arguments in (("check", "s3://bucket/data"), ("train", dataset, "s3://bucket/run")):
        assert re.search("s3://bucket/.*credentials for S3.*AWS_PROFILE", refused(*arguments))


def test_a_profile_that_does_not_exist(refused, aws):
    aws(PROFILE="nobody")
    assert re.search("profile.*nobody.*AWS_PROFILE", refused("check", "s3://bucket/data"))


def test_an_endpoint_that_is_down(refused, aws):
    aws(ENDPOINT_URL="http://127.0.0.1:9", **KEYS)
    assert re.search("after 5 tries.*AWS_ENDPOINT_URL", refused("check", "s3://bucket/data"))


def test_a_bucket_of_no_possible_name(refused, aws):
    aws(ENDPOINT_URL="http://127.0.0.1:9", **KEYS)
    assert re.search("s3://No_Bucket!.*correct the address", refused("check", "s3://No_Bucket!/data"))


@pytest.mark.aws
def test_wrong_credentials_and_missing_buckets(refused, dataset, s3):
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    assert re.search(
        "s3://nowhere/run.*its bucket does not exist.*aws s3 mb", refused("train", dataset, "s3://nowhere/run")
    )
    s3.refuse = lambda *_: 403
    try:
        assert re.search("s3://bucket/data.*credentials.*s3:GetObject", refused("check", "s3://bucket/data"))
        with pytest.raises(UserError, match="InvalidAccessKeyId"), storage.user_errors():
            storage.write_text("s3://bucket/file", "")
    finally:
        s3.refuse = None


def test_places_on_disk_that_cannot_be(refused, dataset, tmp_path):
    (tmp_path / "file").write_text("")
    for place, words in (
        (tmp_path / "file/run", "a file is where a folder would have to be"),
        (tmp_path / "file/deep/run", "a file is where a folder would have to be"),
        (tmp_path / ("a" * 300), "name too long"),
        ("/proc/sys/run", "cannot be written to|get the right to it"),
    ):
        assert re.search(words, refused("train", dataset, place))


def test_a_full_disk(tmp_path):
    def fill():
        with storage.new_file(tmp_path / "file"), Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"more")

    with pytest.raises(UserError, match=r"(?s)file could not be written: No space left.*same command again") as caught:
        storage.user_errors()(fill)()
    assert isinstance(caught.value.__cause__, OSError)
    assert storage.names_in(tmp_path) == []


def test_what_is_ours_stays_an_error_of_ours():
    for error in (
        FileNotFoundError(errno.ENOENT, "No such file", "java"),
        ConnectionRefusedError(errno.ECONNREFUSED, "refused"),  # of a socket that is not storage's
        PermissionError(errno.EPERM, "not permitted"),  # of a process: no file is named
        ValueError("nonsense"),
        KeyError("nonsense"),
    ):
        assert storage.as_user_error(error) is None
        with pytest.raises(type(error)), storage.user_errors():
            raise error


def test_a_users_error_passes_as_it_is():
    error = UserError("this", "that", "do")
    with pytest.raises(UserError) as caught, storage.user_errors():
        raise error
    assert caught.value is error
