"""Files of a source, on disk, in S3 or at any fsspec address: listed folder by folder, never all in memory."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

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
