"""What executors are asked before every run. Sent by value: the standard library is all it may need at first."""

from __future__ import annotations

import os
import platform
import socket
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Actions = Mapping[str, Callable[[], Any]]
    """Functions on files, in their order, by what they do: `list`, `read`, `write` or `remove`."""

UNASKED = "unasked"
"""The answer of an executor that was not asked about a run directory."""


def ask(context: Any, question: dict[str, Any]) -> dict[str, Any]:
    """Answer where this task runs, with what software, and whether it sees the run's places.

    Args:
        context: the `BarrierTaskContext`.
        question: `packages`, whose versions are asked; `readable`, files that the driver sees; `run`, a folder with
            the file `token` in it, or None.
    """
    infos = context.getTaskInfos()
    return {
        "host": socket.gethostname(),
        "executor": infos[context.partitionId()].address,
        "gpus": [address for name, gpu in context.resources().items() if name == "gpu" for address in gpu.addresses],
        "python": platform.python_version(),
        "executable": sys.executable,
        "versions": {name: version_of(name) for name in question["packages"]},
        "readable": {place: access(reading(place)) for place in question["readable"]},
        "run": UNASKED if question["run"] is None else access(writing(question["run"], question["token"])),
    }


def version_of(package: str) -> str | None:
    """Return the version of an installed package; None if it is missing. Of Spark it is the one that runs here."""
    from importlib.metadata import PackageNotFoundError, version

    if package == "pyspark":  # a cluster's own goes before an installed one
        import pyspark

        return pyspark.__version__
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def access(actions: Actions) -> str | None:
    """Return which of some actions on files fails first, and why; None if none does.

    Args:
        actions: what is tried, one after the other.
    """
    for name, action in actions.items():
        try:
            action()
        except ImportError:
            return None  # this package, which knows how, is missing: told elsewhere
        except Exception as error:  # whatever a file system raises is the answer
            return f"{name}: {type(error).__name__}: {str(error).strip() or 'no word of why'}"[:400]
    return None


def reading(place: str) -> Actions:
    """Return the actions of who reads a file."""

    def read() -> None:
        from hvdcells import storage

        with storage.open_file(place) as opened:
            opened.read(16)

    return {"read": read}


def writing(run: str, token: str) -> Actions:
    """Return the actions of who works on a folder in which the driver has put a file."""

    def storage() -> Any:
        from hvdcells import storage

        return storage

    def listing() -> None:
        if token not in storage().names_in(run):
            raise FileNotFoundError(f"{run} is not the folder that the driver sees")

    own = storage_join(run, f"{token[:-8]}{os.urandom(4).hex()}")
    return {
        "list": listing,
        "read": lambda: storage().read_text(storage_join(run, token)),
        "write": lambda: storage().write_text(own, "written by an executor to see whether it may\n"),
        "remove": lambda: storage().remove(own),
    }


def storage_join(folder: str, name: str) -> str:
    """Join as `hvdcells.storage` does, which may be missing here."""
    return f"{folder.rstrip('/')}/{name}"
