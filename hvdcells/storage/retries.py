"""Second and third tries for storage that answers badly now and then, and one kind of error for all of it.

s3fs and botocore retry single requests by themselves; this stands above them, for answers that outlast those tries.
"""

import errno
import os
import sys
from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential

ATTEMPTS = 5
LONGEST_SECONDS = 120
"""No further try begins later than this after the first."""
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)
_FINAL_ERRNO = frozenset(
    (
        errno.EINVAL,  # s3fs' word for a request that S3 does not take
        errno.ENOSYS,
        errno.EPERM,
        errno.EACCES,
        errno.EROFS,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.ENAMETOOLONG,
        errno.ENOTEMPTY,
        errno.EMSGSIZE,
        errno.ELOOP,
        getattr(errno, "EREMCHG", errno.EINVAL),  # of s3fs: the bucket is in another region
    )
)

Result = TypeVar("Result")


class CredentialsError(OSError):
    """Nobody to ask a store as: no credentials are found, or none to be had. No `PermissionError` of one file."""


def call(
    function: Callable[..., Result], *args: object, where: str | os.PathLike[str] = "", **kwargs: object
) -> Result:
    """Call a function of a remote file system; an error that may pass is retried with growing pauses, then raised.

    Args:
        function: called with `args` and `kwargs`; twice must come to the same as once.
        where: the location, which the error is to name.

    Raises:
        OSError: whatever the client's own errors are: these are its `__cause__`.
    """
    retrying = Retrying(
        retry=retry_if_exception(may_pass),
        stop=stop_after_attempt(ATTEMPTS) | stop_after_delay(LONGEST_SECONDS),
        wait=wait_random_exponential(multiplier=0.2, max=10),
        reraise=True,
    )
    try:
        return retrying(function, *args, **kwargs)
    except Exception as error:
        told = as_os_error(error)
        if told is None:
            raise
        if where and told.filename is None:
            told.filename = os.fspath(where)
        if told is error:
            raise
        raise told from error


def may_pass(error: BaseException) -> bool:
    """Whether the same call may succeed a little later."""
    if isinstance(error, OSError):
        return not isinstance(error, _FINAL) and error.errno not in _FINAL_ERRNO
    return isinstance(error, _passing_of_clients())


def as_os_error(error: BaseException) -> OSError | None:
    """Return an error of a client of remote storage as what Python calls it; None for one of another kind."""
    if isinstance(error, OSError):
        return error
    if isinstance(error, _passing_of_clients()):
        return ConnectionError(errno.ECONNABORTED, str(error))
    if isinstance(error, NotImplementedError):
        return OSError(errno.ENOSYS, str(error) or "this kind of storage cannot do that")
    if "botocore" not in sys.modules:
        return None
    from botocore import exceptions as botocore

    # s3fs hides some of botocore's refusals of a request behind a ValueError.
    hidden = error.__cause__ or error.__context__
    if isinstance(error, botocore.ParamValidationError) or isinstance(hidden, botocore.ParamValidationError):
        return OSError(errno.EINVAL, str(error))
    nobody = (
        botocore.NoCredentialsError,
        botocore.PartialCredentialsError,
        botocore.CredentialRetrievalError,
        botocore.NoAuthTokenError,
        botocore.ProfileNotFound,
        botocore.SSOError,
        botocore.InvalidConfigError,
        getattr(botocore, "LoginError", botocore.SSOError),  # of newer clients
        botocore.TokenRetrievalError,
    )
    if isinstance(error, nobody):
        return CredentialsError(errno.EACCES, str(error))
    if isinstance(error, botocore.BotoCoreError):  # an address, a region or a setting that S3's client does not take
        return OSError(errno.EINVAL, str(error))
    return None


def _passing_of_clients() -> tuple[type[BaseException], ...]:
    """Return what clients raise of connections, as far as they are loaded: none of it is an OSError."""
    kinds: tuple[type[BaseException], ...] = ()
    if "botocore" in sys.modules:
        from botocore import exceptions as botocore
        from botocore.parsers import ResponseParserError

        kinds += (botocore.HTTPClientError, botocore.ConnectionError, botocore.IncompleteReadError, ResponseParserError)
    if "aiohttp" in sys.modules:
        import aiohttp

        kinds += (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)
    return kinds
