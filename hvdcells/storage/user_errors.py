"""What file systems and their clients raise, said in the user's words. Used where the user is met, not inside."""

import base64
import errno
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hvdcells.errors import UserError
from hvdcells.secrets import without_secrets
from hvdcells.storage import retries

CREDENTIALS = (
    "export AWS_PROFILE or the AWS_ variables, run `aws configure` or `aws sso login`, or use a machine's role"
)
_UNKNOWN_CREDENTIALS = frozenset(
    ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired")
)
_FROM_A_TASK = re.compile(r"hvdcells-user-error:([A-Za-z0-9+/=]+):")
_GO_ON = "and give the same command again (an `etl` goes on by itself, a run with --resume)"


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn what storage raises in the block into a `UserError`, as `as_user_error` says it; also a decorator."""
    try:
        yield
    except Exception as error:
        told = as_user_error(error)
        if told is None or told is error:
            raise
        raise told from error


@contextmanager
def told_to_driver() -> Iterator[None]:
    """In a task of Spark: have what storage raises in the block reach the driver as a `UserError`.

    Of an error in a task the driver gets a text alone, amid traces of Java and Python; `as_user_error` finds there what
    this one puts into it.
    """
    try:
        yield
    except Exception as error:
        told = as_user_error(error)
        if told is None:
            raise
        parts = json.dumps([told.given, told.expected, told.remedy]).encode()
        raise TaskRefusedError(f"{told.given}\nhvdcells-user-error:{base64.b64encode(parts).decode()}:") from None


class TaskRefusedError(Exception):
    """A task cannot go on for a reason that is the user's to mend."""


def _of_task(error: BaseException) -> UserError | None:
    """Return what a task of Spark has told, or what its Java side says of the disk; None for any other error."""
    if type(error).__module__.partition(".")[0] not in ("py4j", "pyspark"):
        return None
    text = str(error)
    if found := _FROM_A_TASK.search(text):
        return UserError(*json.loads(base64.b64decode(found[1])))
    return _no_space("a temporary file of Spark", "No space left on device") if _JAVA_DISK_FULL in text else None


def as_user_error(error: BaseException) -> UserError | None:
    """Return what to tell the user of an error of storage; None for one that the user can do nothing about.

    A file that is missing is none of it: whoever needs one from the user says so where it is looked for.
    """
    if isinstance(error, UserError):
        return error
    if (of_task := _of_task(error)) is not None:
        return of_task
    known = retries.as_os_error(error)
    if known is None:
        return None
    client = _client_error(error)
    place = known.filename if isinstance(known.filename, str) else ""
    shown = without_secrets(place) or "a file"
    reason = without_secrets(known.strerror or str(known))
    if client is not None or "://" in place:
        return _of_store(known, client, shown, reason)
    tell = _ON_DISK.get(known.errno or 0)
    # Without a name, it may be of anything: a socket, a process, a semaphore.
    return tell(shown, reason) if tell is not None and (place or known.errno in _DISK_FULL) else None


def _client_error(error: BaseException) -> Any:
    """Return botocore's error behind an error, if there is one; it has types for the type checker no more than it."""
    for each in (error, error.__cause__, error.__cause__ and error.__cause__.__cause__):
        if each is not None and type(each).__module__.startswith("botocore."):
            return each
    return None


def _of_store(known: OSError, client: Any, shown: str, reason: str) -> UserError | None:
    code = str((getattr(client, "response", None) or {}).get("Error", {}).get("Code", ""))
    if isinstance(known, retries.CredentialsError):
        return UserError(f"{shown}: {reason}", "credentials for S3", CREDENTIALS)
    if code in _UNKNOWN_CREDENTIALS:
        return UserError(
            f"{shown}: {reason} ({code})", "credentials that the store knows and that are valid", CREDENTIALS
        )
    if code == "NoSuchBucket":
        return UserError(
            f"{shown}: its bucket does not exist",
            "a bucket that exists",
            "correct its name, or make it: aws s3 mb s3://NAME",
        )
    if isinstance(known, PermissionError):
        return UserError(
            f"{shown}: {reason}",
            "credentials that the store knows, with the right to do this",
            f"get the right (in S3: s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject), or {CREDENTIALS}",
        )
    if isinstance(known, FileNotFoundError):
        return None
    if known.errno in _ON_DISK:  # the copy on this machine, or the address itself
        return _ON_DISK[known.errno](shown, reason)
    if known.errno == errno.EREMCHG:
        return UserError(
            f"{shown}: its bucket is in another region", "the region of the bucket", "export AWS_DEFAULT_REGION with it"
        )
    if known.errno == errno.ENOSYS:
        return UserError(
            f"{shown}: {reason}", "an address that can be written to", "use a local path or s3://BUCKET/KEY"
        )
    if retries.may_pass(known):
        return UserError(
            f"{shown}: {reason}, also after {retries.ATTEMPTS} tries",
            "a store that answers",
            f"check the network and AWS_ENDPOINT_URL, or wait a little, {_GO_ON}",
        )
    return UserError(
        f"{shown}: {reason}", "a request that the store takes", "correct the address or what is said of it"
    )


def _no_space(shown: str, reason: str) -> UserError:
    return UserError(
        f"{shown} could not be written: {reason}",
        "free space on that disk",
        f"free some, or get a larger quota, {_GO_ON}",
    )


def _not_permitted(shown: str, reason: str) -> UserError:
    return UserError(f"{shown}: {reason}", "a place that this process may use", "name another, or get the right to it")


def _below_a_file(shown: str, reason: str) -> UserError:
    return UserError(f"{shown}: {reason}", "a folder", "name another place: a file is where a folder would have to be")


def _bad_name(shown: str, reason: str) -> UserError:
    return UserError(f"{shown}: {reason}", "a path that the file system can follow", "name another place")


def _too_many_open(shown: str, reason: str) -> UserError:
    return UserError(f"{shown}: {reason}", "a limit above what is open at once", "raise it: ulimit -n 65536")


_JAVA_DISK_FULL = "java.io.IOException: No space left on device"
_DISK_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
_ON_DISK: dict[int, Callable[[str, str], UserError]] = {
    errno.ENOSPC: _no_space,
    errno.EDQUOT: _no_space,
    errno.EACCES: _not_permitted,
    errno.EPERM: _not_permitted,
    errno.EROFS: _not_permitted,
    errno.ENOTDIR: _below_a_file,
    errno.EISDIR: lambda shown, reason: UserError(f"{shown}: {reason}", "a file", "name another place"),
    errno.ENAMETOOLONG: _bad_name,
    errno.ELOOP: _bad_name,
    errno.EMFILE: _too_many_open,
    errno.ENXIO: lambda shown, reason: UserError(f"{shown}: {reason}", "a file", "put the file itself in its place"),
}
