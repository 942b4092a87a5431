"""How a change is made: a name of Horovod's is replaced while a job runs, in the one release that has these names."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from hvdcells.errors import UserError

RELEASE = "0.28.1"
"""Of Horovod; what this room replaces was read and tested in it."""


def refuse_other_release() -> None:
    """Refuse a Horovod whose parts may be others.

    Raises:
        UserError: another release is installed, or none.
    """
    try:
        installed = f"Horovod {version('horovod')}"
    except PackageNotFoundError:
        installed = "no Horovod"
    if installed != f"Horovod {RELEASE}":
        raise UserError(
            f"{installed} in this environment",
            f"Horovod {RELEASE}, of which some parts are replaced while ranks run (docs/internals.md)",
            f"install what pyproject.toml asks for: make setup, or `uv pip install horovod=={RELEASE}`",
        )


@contextmanager
def replaced(owner: Any, name: str, replacement: Any) -> Iterator[None]:
    """Replace an attribute of a module or a class inside the block."""
    original = getattr(owner, name)
    setattr(owner, name, replacement)
    try:
        yield
    finally:
        setattr(owner, name, original)
