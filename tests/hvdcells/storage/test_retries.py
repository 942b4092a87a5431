"""What remote storage answers badly is asked again: each function, through an S3 double that fails."""

import errno
import time
from pathlib import Path

import pytest

from hvdcells import storage
from hvdcells.storage import retries

pytestmark = pytest.mark.aws


@pytest.fixture(autouse=True)
def without_other_retries(monkeypatch):
    """Leave only our own tries: botocore's would hide that there are any."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)


@pytest.fixture
def bucket(s3, tmp_path, without_other_retries):
    import boto3
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    name = f"retries-{tmp_path.name[-30:].replace('_', '-').strip('-')}"
    boto3.client("s3").create_bucket(Bucket=name)
    yield f"s3://{name}"
    s3.every, s3.refuse, s3.lose_next = 0, None, None
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def faults(s3, bucket):
    """Let every fifth request fail, by each kind in turn."""
    before = s3.injected.copy()
    s3.every = 5
    yield
    s3.every = 0
    injected = s3.injected - before
    assert min(injected[kind] for kind in ("500", "503", "slow")) >= 3


def write_all(bucket):
    storage.write_text(f"{bucket}/folder/text", "words")
    with storage.new_file(f"{bucket}/folder/new") as file:
        file.write(b"new file")
    with storage.unnamed_file(f"{bucket}/folder") as aside:
        Path(aside.path).write_bytes(b"named later")
        aside.location = f"{bucket}/folder/later"
    with storage.new_folder(f"{bucket}/folder/below") as local:
        for name in ("a", "b"):
            Path(local, name).write_text(name)


def test_all_functions_come_through_faults(bucket, faults):
    for _ in range(3):  # each function meets some kind of fault
        write_all(bucket)
        assert storage.read_text(f"{bucket}/folder/text") == "words"
        with storage.local_copy(f"{bucket}/folder/later") as path:
            assert Path(path).read_bytes() == b"named later"
        with storage.open_file(f"{bucket}/folder/new") as file:
            assert (file.seek(4), file.read(2), file.read(), file.read()) == (4, b"fi", b"le", b"")
        assert storage.names_in(f"{bucket}/folder") == ["below", "later", "new", "text"]
        assert storage.files_below(f"{bucket}/folder") == {"below/a": 1, "below/b": 1, "later": 11, "new": 8, "text": 5}
        assert storage.size_bytes(f"{bucket}/folder/text") == 5
        assert storage.exists(f"{bucket}/folder")
        assert not storage.exists(f"{bucket}/folder/nothing")
        assert storage.create_text(f"{bucket}/folder/mine", "mine")
        assert not storage.create_text(f"{bucket}/folder/mine", "other")
        storage.remove(f"{bucket}/folder")
        assert storage.is_empty(f"{bucket}/folder")


def test_an_answer_that_does_not_come_is_asked_for_again(bucket, s3, monkeypatch):
    import s3fs

    storage.write_text(f"{bucket}/slow", "at last")
    monkeypatch.setattr(s3fs.S3FileSystem, "read_timeout", 0.1)  # an answer takes 0.4 s where it is slow
    s3fs.S3FileSystem.clear_instance_cache()
    asked = []

    def slow_at_first(method):
        asked.append(method)
        return "slow" if len(asked) < 4 else None

    monkeypatch.setattr(s3, "fault_for_next", slow_at_first)
    assert storage.read_text(f"{bucket}/slow") == "at last"
    assert len(asked) >= 5


def test_a_store_that_fails_is_not_taken_for_an_empty_one(bucket, s3):
    storage.write_text(f"{bucket}/there", "there")
    s3.refuse = lambda _method, _path: 500
    for question in (storage.exists, storage.size_bytes, storage.names_in, storage.is_empty, storage.read_bytes):
        with pytest.raises(OSError) as caught:  # noqa: PT011 - what botocore says of it changes
            question(f"{bucket}/there")
        assert caught.value.filename == f"{bucket}/there"


def test_what_was_created_although_the_answer_was_lost_is_ours(bucket, s3):
    s3.lose_next = "PUT"
    assert storage.create_text(f"{bucket}/owner", "me")
    assert s3.lose_next is None
    assert storage.read_text(f"{bucket}/owner") == "me"
    assert not storage.create_text(f"{bucket}/owner", "another")
    assert storage.read_text(f"{bucket}/owner") == "me"


def test_what_another_has_created_meanwhile_is_not_ours(bucket, s3, monkeypatch):
    storage.write_text(f"{bucket}/owner", "another")
    s3.lose_next = "PUT"  # here it is the refusal that gets lost
    assert not storage.create_text(f"{bucket}/owner", "me")
    assert s3.lose_next is None


def test_permanent_failure_writes_nothing(bucket, s3):
    storage.write_text(f"{bucket}/file", "before")
    s3.refuse = lambda method, _path: 503 if method == "PUT" else None
    with pytest.raises(OSError, match="injected"):
        storage.write_text(f"{bucket}/file", "after")
    s3.refuse = None
    assert storage.read_text(f"{bucket}/file") == "before"
    assert storage.names_in(bucket) == ["file"]


def test_passing_errors_are_retried_and_lasting_ones_are_not():
    calls = []

    def failing(*errors):
        calls.append(1)
        if len(calls) <= len(errors):
            raise errors[len(calls) - 1]
        return "done"

    assert retries.call(failing, OSError("503 Slow Down"), TimeoutError()) == "done"
    assert len(calls) == 3
    for lasting in (
        FileNotFoundError(),
        PermissionError(),
        FileExistsError(),
        OSError(errno.ENOSPC, "full"),
        OSError(errno.EINVAL, "bad bucket name"),
    ):
        calls.clear()
        with pytest.raises(type(lasting)):
            retries.call(failing, *[lasting] * 9)
        assert len(calls) == 1


def test_tries_are_bounded_in_number_and_time(monkeypatch):
    calls = []

    def failing():
        calls.append(1)
        raise OSError("503 Slow Down")

    with pytest.raises(OSError, match="Slow Down"):
        retries.call(failing)
    assert len(calls) == retries.ATTEMPTS
    calls.clear()
    monkeypatch.setattr(retries, "LONGEST_SECONDS", 0)
    with pytest.raises(OSError, match="Slow Down"):
        retries.call(failing)
    assert len(calls) == 1


def test_clients_errors_are_os_errors():
    from botocore import exceptions as botocore

    def failing(error):
        raise error

    with pytest.raises(retries.CredentialsError) as caught:
        retries.call(failing, botocore.NoCredentialsError(), where="s3://bucket/key")
    assert caught.value.filename == "s3://bucket/key"
    assert not isinstance(caught.value, PermissionError)  # which one image may have for itself
    with pytest.raises(OSError, match="region_name") as caught:  # nothing that credentials would mend
        retries.call(failing, botocore.InvalidRegionError(region_name="a b"))
    assert not isinstance(caught.value, retries.CredentialsError)
    assert caught.value.errno == errno.EINVAL
    began = time.monotonic()
    with pytest.raises(ConnectionError):
        retries.call(failing, botocore.EndpointConnectionError(endpoint_url="http://nowhere"))
    assert time.monotonic() - began < 30
