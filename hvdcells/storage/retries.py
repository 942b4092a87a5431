"""Second and third tries for storage that answers badly now and then.

s3fs retries single requests by itself; this stands above it, for answers that outlast those tries.
"""

from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

ATTEMPTS = 5
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)

Result = TypeVar("Result")


def _passing(error: BaseException) -> bool:
    return isinstance(error, OSError | TimeoutError) and not isinstance(error, _FINAL)


def call(function: Callable[..., Result], *args: object, **kwargs: object) -> Result:
    """Call `function`; an error of input or output that may pass is retried with growing pauses, then raised."""
    retrying = Retrying(
        retry=retry_if_exception(_passing),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.2, max=10),
        reraise=True,
    )
    return retrying(function, *args, **kwargs)
