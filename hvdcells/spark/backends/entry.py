"""A rank's entry: the function that a back end calls on every rank, known to the driver by its name alone."""

import os
import pkgutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def call_entry(entry: str, argument: Any) -> Any:
    """Import the entry and call it, in the process that is to be the rank.

    Args:
        entry: "package.module:function"; the function takes the argument and `called`, the `time.time()` at which
            this was called: with it, a rank can tell how long the imports of its module took.
        argument: what the driver has handed over.

    Returns:
        What the function returns.
    """
    called = time.time()
    import_tensorflow()
    return pkgutil.resolve_name(entry)(argument, called)


def import_tensorflow() -> None:
    """Import TensorFlow without its notices about its build and the drivers this machine lacks.

    They are written straight to file descriptor 2 before TensorFlow reads its log level. Whoever imports TensorFlow
    first in a process calls this before.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with standard_error_closed():
        import tensorflow  # noqa: F401


@contextmanager
def standard_error_closed() -> Iterator[None]:
    """Let nothing through that the block writes to file descriptor 2, be it by libraries below Python."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
        sys.stderr.flush()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
