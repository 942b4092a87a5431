"""Files of a source, on disk, in S3 or at any fsspec address: listed, and an inventory taken of them.

They are never all in memory: images wait in a file on this machine's disk.
"""

import os
import posixpath
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from etl.source.names import parse_cell_name
from hvdcells import storage
from hvdcells.storage import retries

IMAGE_SUFFIXES = frozenset(
    (".bmp", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".jp2", ".ppm", ".pgm", ".pnm", ".dib")
)
"""What OpenCV reads; other files are not images of the source."""
TABLE_SUFFIXES = (".csv", ".parquet")


class SourceFile(NamedTuple):
    """One file: its path below the source, and what tells whether it has changed."""

    path: str
    size_bytes: int
    fingerprint: str
    """ETag in object stores, time of last change on disk."""

    @property
    def is_image(self) -> bool:
        """Whether the name ends as an image's does."""
        return os.path.splitext(self.path)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122  (a hot path)


def list_files(source: str) -> Iterator[SourceFile]:
    """Yield every file below a source, folder by folder in the order of names; hidden files are left out.

    At most one folder's listing is in memory.
    """
    return _list_local(source) if storage.is_local(source) else _list_remote(source)


def _list_local(source: str) -> Iterator[SourceFile]:
    root = str(Path(storage.absolute(source)))
    for folder, subfolders, names in os.walk(root, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        prefix = os.path.relpath(folder, root).replace(os.sep, "/")
        for name in sorted(names):
            if name.startswith("."):
                continue
            try:
                status = os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118  (a hot path)
            except FileNotFoundError:
                continue  # a dangling link
            path = name if prefix == "." else f"{prefix}/{name}"
            # A name that is no UTF-8 cannot stand in Parquet; escaped, it is not found and so rejected and counted.
            path = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            yield SourceFile(path, status.st_size, str(status.st_mtime_ns))


def _list_remote(source: str) -> Iterator[SourceFile]:
    fs, root = storage.filesystem(source)
    fs.invalidate_cache()
    pending = [root.rstrip("/")]
    while pending:
        folder = pending.pop()
        entries = sorted(
            retries.call(fs.ls, folder, detail=True, refresh=True, where=source), key=lambda entry: entry["name"]
        )
        fs.invalidate_cache()
        subfolders = []
        for entry in entries:
            path = entry["name"].removeprefix(root).lstrip("/")
            if not path or path.rsplit("/", 1)[-1].startswith("."):
                continue
            if entry["type"] == "directory":
                if entry["name"].rstrip("/") != folder:
                    subfolders.append(entry["name"].rstrip("/"))
            else:
                yield SourceFile(path, entry["size"], _fingerprint(entry))
        pending += reversed(subfolders)


def _fingerprint(entry: Mapping[str, Any]) -> str:
    for key in ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "mtime", "modified", "created"):
        if entry.get(key):
            return str(entry[key]).strip('"')
    return ""


class Inventory:
    """What lies in a source: its image files, and a few facts to tell the layout by."""

    def __init__(self, files: Iterable[SourceFile]) -> None:
        """Go through the files once."""
        self.folders: Counter[str] = Counter()
        """Images directly in each folder, by its path below the source."""
        self.tables: list[str] = []
        """CSV and Parquet files."""
        self.num_images = 0
        self.num_other_files = 0
        self.has_cell_names = False
        """Some image is named as in C-NMC."""
        self._spool = tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n")  # noqa: SIM115
        for file in files:
            if file.is_image:
                self._add_image(file)
            elif file.path.lower().endswith(TABLE_SUFFIXES):
                self.tables.append(file.path)
            else:
                self.num_other_files += 1

    def _add_image(self, file: SourceFile) -> None:
        self.num_images += 1
        self.folders[posixpath.dirname(file.path)] += 1
        self.has_cell_names = self.has_cell_names or parse_cell_name(file.path) is not None
        # The path comes last and goes to the end of the line; a line break in it is escaped.
        path = file.path.encode("unicode_escape").decode("ascii")
        self._spool.write(f"{file.size_bytes}\t{file.fingerprint}\t{path}\n")

    def images(self) -> Iterator[SourceFile]:
        """Yield the image files again, in the order they were listed."""
        self._spool.seek(0)
        for line in self._spool:
            size, fingerprint, path = line.rstrip("\n").split("\t", 2)
            yield SourceFile(path.encode("ascii").decode("unicode_escape"), int(size), fingerprint)
