"""Whole files or none: written on this machine's disk first, then put in place in one step.

pyarrow's Parquet is reached through here, so that the hotfix of CVE-2023-47248 is always loaded.
"""

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow_hotfix  # noqa: F401

from hvdcells import storage
from hvdcells.storage import retries


@dataclass
class UnnamedFile:
    """A file that is being written, whose name may not be known yet."""

    path: str
    """Local path to write to."""
    location: str | None = None
    """Where it is to appear; nowhere if that stays open."""


@contextmanager
def unnamed_file(folder: str) -> Iterator[UnnamedFile]:
    """Yield a file to write to; at the end it appears at the `location` set, in that folder; after an error not."""
    if storage.is_local(folder):
        target = Path(storage.filesystem(folder)[1])
        target.mkdir(parents=True, exist_ok=True)
        aside = target / f".{uuid.uuid4().hex}"
        file = UnnamedFile(str(aside))
        try:
            yield file
            if file.location is not None:
                aside.replace(storage.filesystem(file.location)[1])
        finally:
            aside.unlink(missing_ok=True)
        return
    with tempfile.TemporaryDirectory(prefix="hvdcells-") as temporary:
        file = UnnamedFile(str(Path(temporary) / "file"))
        yield file
        if file.location is not None:
            fs, path = storage.filesystem(file.location)
            retries.call(fs.put_file, file.path, path)


@contextmanager
def new_file(location: str) -> Iterator[str]:
    """Yield a local path to write to; at the end the file appears at `location`, after an error it does not."""
    with unnamed_file(location.rpartition("/")[0]) as file:
        yield file.path
        file.location = location


@contextmanager
def new_folder(location: str) -> Iterator[str]:
    """Yield a local folder to write to; at the end its files are what lies at `location`, in place of what did."""
    storage.remove(location)
    if storage.is_local(location):
        Path(location).mkdir(parents=True)
        yield location
        return
    fs, path = storage.filesystem(location)
    with tempfile.TemporaryDirectory(prefix="hvdcells-") as folder:
        yield folder
        names = sorted(os.listdir(folder))  # noqa: PTH208
        if names:
            retries.call(fs.put, [f"{folder}/{name}" for name in names], [f"{path}/{name}" for name in names])


@contextmanager
def local_copy(location: str) -> Iterator[str]:
    """Yield a local path of a file: its own if it is on disk, that of a copy otherwise.

    Raises:
        FileNotFoundError: nothing is there.
    """
    fs, path = storage.filesystem(location)
    if storage.is_local(location):
        if not os.path.exists(path):  # noqa: PTH110
            raise FileNotFoundError(location)
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="hvdcells-") as folder:
        copy = str(Path(folder) / "file")
        retries.call(fs.get_file, path, copy)
        yield copy


def write_table(location: str, table: pa.Table) -> None:
    """Write a small table as one Parquet file."""
    with new_file(location) as path:
        pq.write_table(table, path, compression="zstd")


def read_table(location: str, columns: list[str] | None = None) -> pa.Table:
    """Read one Parquet file whole."""
    # ParquetFile, not read_table: a folder named split=… is no column of what we read here.
    with local_copy(location) as path, pq.ParquetFile(path) as file:
        return file.read(columns=columns)


def list_names(location: str) -> set[str]:
    """Return the names of the files directly in a folder; a missing folder has none."""
    fs, path = storage.filesystem(location)
    fs.invalidate_cache()
    try:
        entries = retries.call(fs.ls, path, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return set()
    return {entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in entries if entry["type"] == "file"}
