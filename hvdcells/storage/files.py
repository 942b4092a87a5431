"""Files on disk, in S3 or at any fsspec address, behind one small set of functions.

A location is a string: a local path or a URL such as `s3://bucket/prefix`. Text and bytes are written aside
and renamed on disk; object stores replace an object in one step by themselves.
"""

import os
import re
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from hvdcells.errors import UserError
from hvdcells.secrets import has_secrets, without_secrets

ASIDE = re.compile(r"\..+\.[0-9a-f]{8}")
"""Names of files that are being written aside."""


def filesystem(location: str | os.PathLike) -> tuple[fsspec.AbstractFileSystem, str]:
    """Return the fsspec file system of a location and the location's path on it.

    The endpoint and credentials of S3 come from the usual AWS variables (`AWS_ENDPOINT_URL`, …).
    """
    return fsspec.core.url_to_fs(os.fspath(location))


def join(location: str | os.PathLike, *parts: str) -> str:
    """Join parts below a location, keeping its protocol."""
    return "/".join([os.fspath(location).rstrip("/"), *parts])


def is_local(location: str | os.PathLike) -> bool:
    """Whether the location is on this machine's disk."""
    return isinstance(filesystem(location)[0], LocalFileSystem)


def absolute(location: str | os.PathLike) -> str:
    """Make a local location absolute (executors have another working folder); leave a URL as it is.

    Raises:
        UserError: it holds a password or a signature, which would end up in manifests, runs and reports.
    """
    if has_secrets(os.fspath(location)):
        raise UserError(
            f"the address {without_secrets(os.fspath(location))}",
            "an address without password and without signature: it is written into what is made from it",
            "give the rights another way, such as AWS_PROFILE, the AWS_ variables or the machine's role",
        )
    fs, path = filesystem(location)
    return path if isinstance(fs, LocalFileSystem) else os.fspath(location).rstrip("/")


def exists(location: str | os.PathLike) -> bool:
    """Whether something is at the location."""
    fs, path = filesystem(location)
    return fs.exists(path)


def read_bytes(location: str | os.PathLike) -> bytes:
    """Read a whole file.

    Raises:
        FileNotFoundError: nothing is there.
    """
    fs, path = filesystem(location)
    return fs.cat_file(path)


def read_text(location: str | os.PathLike) -> str:
    """Read a whole UTF-8 file."""
    return read_bytes(location).decode("utf-8")


def write_bytes(location: str | os.PathLike, content: bytes) -> None:
    """Write a whole file so that no reader ever sees half of it."""
    fs, path = filesystem(location)
    if not isinstance(fs, LocalFileSystem):
        fs.pipe_file(path, content)
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(target)
    aside.write_bytes(content)
    aside.replace(target)


def create_text(location: str | os.PathLike, text: str) -> bool:
    """Write a UTF-8 file where none is; return whether it was done. Of several writers at once, one succeeds.

    On disk a reader may see it before it is written whole.
    """
    fs, path = filesystem(location)
    try:
        if not isinstance(fs, LocalFileSystem):
            fs.pipe_file(path, text.encode("utf-8"), mode="create")
            return True
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with Path(path).open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        return False
    return True


def write_text(location: str | os.PathLike, text: str) -> None:
    """Write a whole UTF-8 file so that no reader ever sees half of it."""
    write_bytes(location, text.encode("utf-8"))


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")


@contextmanager
def new_file(location: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a file that appears at its location, whole, when the block ends, and not at all when the block fails.

    For what is too large to be held in memory twice. On disk it outlives a crash of the machine too.
    """
    fs, path = filesystem(location)
    if not isinstance(fs, LocalFileSystem):
        with tempfile.NamedTemporaryFile() as aside:
            yield aside
            aside.flush()
            fs.put_file(aside.name, path)
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(target)
    try:
        with aside.open("wb") as opened:
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def names_in(location: str | os.PathLike) -> list[str]:
    """Return the names of what is in a folder, sorted; none if there is no folder."""
    fs, path = filesystem(location)
    fs.invalidate_cache()  # another process may have written there since
    return sorted(each.rstrip("/").rpartition("/")[2] for each in fs.ls(path, detail=False)) if fs.isdir(path) else []


def size_bytes(location: str | os.PathLike) -> int | None:
    """Return the size of a file; None if there is none."""
    fs, path = filesystem(location)
    fs.invalidate_cache()
    return fs.size(path) if fs.isfile(path) else None


def remove_left_aside(location: str | os.PathLike) -> None:
    """Remove from a folder the files that writers that were killed have left there."""
    for name in names_in(location):
        if ASIDE.fullmatch(name):
            remove(join(location, name))


def remove(location: str | os.PathLike) -> None:
    """Remove a file or a folder with all that is in it; nothing there is fine."""
    fs, path = filesystem(location)
    if fs.exists(path):
        fs.rm(path, recursive=True)


def is_empty(location: str | os.PathLike) -> bool:
    """Whether nothing is at the location, or an empty folder."""
    fs, path = filesystem(location)
    return not fs.exists(path) or (fs.isdir(path) and not fs.ls(path, detail=False))
