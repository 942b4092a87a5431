"""What is at a location and below it: asked anew each time, since another process may have written there."""

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hvdcells.storage import retries
from hvdcells.storage.files import ASIDE, make_private_folder
from hvdcells.storage.locations import Location, filesystem, local_path


def exists(location: Location) -> bool:
    """Whether something is at the location.

    Raises:
        OSError: it cannot be told. A store that does not answer does not count as an empty one.
    """
    local = local_path(location)
    return _info(location) is not None if local is None else Path(local).exists()


def size_bytes(location: Location) -> int | None:
    """Return the size of a file; None if there is none."""
    local = local_path(location)
    if local is not None:
        return Path(local).stat().st_size if Path(local).is_file() else None
    info = _info(location)
    return int(info["size"]) if info is not None and info["type"] == "file" else None


def is_file(location: Location) -> bool:
    """Whether a file is at the location."""
    return size_bytes(location) is not None


def is_empty(location: Location) -> bool:
    """Whether nothing is at the location, or an empty folder."""
    return not is_file(location) and not names_in(location)


def names_in(location: Location) -> list[str]:
    """Return the names of what is in a folder, sorted; none if there is no folder."""
    local = local_path(location)
    try:
        if local is not None:
            return sorted(os.listdir(local))  # noqa: PTH208 - names, not paths
        fs, path = filesystem(location)
        fs.invalidate_cache()
        found = retries.call(fs.ls, path, detail=False, where=location)
    except (FileNotFoundError, NotADirectoryError):
        return []
    paths = {each.rstrip("/") for each in found} - {path.rstrip("/")}  # a file, or a folder's mark, lists itself
    return sorted(each.rpartition("/")[2] for each in paths)


def files_below(location: Location) -> dict[str, int]:
    """Return all files below a folder, at any depth: their paths from there, and their sizes in bytes."""
    fs, path = filesystem(location)
    fs.invalidate_cache()
    found: dict[str, dict[str, Any]] = retries.call(fs.find, path, detail=True, where=location)
    return {name.removeprefix(path).lstrip("/"): int(entry["size"]) for name, entry in found.items()}


def remove(location: Location) -> None:
    """Remove a file or a folder with all that is in it; nothing there is fine."""
    local = local_path(location)
    if local is not None:
        if Path(local).is_dir() and not Path(local).is_symlink():
            shutil.rmtree(local)
        else:
            Path(local).unlink(missing_ok=True)
        return
    fs, path = filesystem(location)
    fs.invalidate_cache()
    try:
        if glob.has_magic(path):  # fsspec would take it for a pattern, and remove others
            for name in retries.call(fs.find, path, where=location):
                retries.call(fs.rm_file, name, where=location)
        else:
            retries.call(fs.rm, path, recursive=True, where=location)
    except FileNotFoundError:
        pass


def remove_left_aside(location: Location) -> None:
    """Remove the files that writers that were killed have left in a folder and below it.

    Only on disk is anything written aside. Links are not followed.
    """
    local = local_path(location)
    if local is None:
        return
    for folder, _, names in os.walk(local):
        for name in names:
            if ASIDE.fullmatch(name):
                Path(folder, name).unlink(missing_ok=True)


@contextmanager
def new_folder(location: Location) -> Iterator[str]:
    """Yield a local folder to write to; at the end its files are what lies at `location`, in place of what did."""
    remove(location)
    local = local_path(location)
    if local is not None:
        make_private_folder(Path(local))
        yield local
        return
    fs, path = filesystem(location)
    with tempfile.TemporaryDirectory(prefix="hvdcells-") as folder:
        yield folder
        names = sorted(os.listdir(folder))  # noqa: PTH208
        if names:
            places = [f"{folder}/{name}" for name in names], [f"{path}/{name}" for name in names]
            retries.call(fs.put, *places, where=location)


def _info(location: Location) -> dict[str, Any] | None:
    """Return what a remote file system says of a location; None if nothing is there."""
    fs, path = filesystem(location)
    fs.invalidate_cache()
    try:
        found: dict[str, Any] = retries.call(fs.info, path, where=location)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found
