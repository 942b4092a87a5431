"""Files of a source, on disk, in S3 or at any fsspec address: listed folder by folder, never all in memory."""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hvdcells import storage
from hvdcells.storage import retries

IMAGE_SUFFIXES = frozenset(
    (
        *(".bmp", ".dib", ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".jp2"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".pxm", ".ras", ".sr"),
    )
)
"""What OpenCV reads; other files are not images of the source."""
TABLE_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet")
NOTHING_THERE = "link to nothing"
"""The fingerprint of a link that leads nowhere."""

PassedOver = Callable[[str], None]
"""Told why something that lies in a source is not listed."""


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

    @property
    def is_table(self) -> bool:
        """Whether it is there, and the name ends as a table's does."""
        return self.path.lower().endswith(TABLE_SUFFIXES) and self.fingerprint != NOTHING_THERE


def list_files(source: str, passed_over: PassedOver = lambda reason: None) -> Iterator[SourceFile]:
    """Yield every file below a source, folder by folder in the order of names; hidden files are left out.

    At most one folder's listing is in memory. A link that leads nowhere is a file of no bytes. What is left out is
    told to `passed_over`, one call each.
    """
    return _list_local(source, passed_over) if storage.is_local(source) else _list_remote(source, passed_over)


def _list_local(source: str, passed_over: PassedOver) -> Iterator[SourceFile]:
    root = str(Path(storage.absolute(source)))

    def unreadable(error: OSError) -> None:
        passed_over(f"folder that cannot be read ({error.strerror})")

    # The folders that links have led to on the way: one that leads to any of them again, or up, has no end.
    led_to: dict[str, frozenset[str]] = {root: frozenset()}
    for folder, subfolders, names in os.walk(root, onerror=unreadable, followlinks=True):
        passed = led_to.pop(folder)
        for name in subfolders:
            if name.startswith("."):
                passed_over("hidden folder, not looked into")
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in list(subfolders):
            path, led = os.path.join(folder, name), passed  # noqa: PTH118
            if os.path.islink(path):  # noqa: PTH114
                real, here = os.path.realpath(path), os.path.realpath(folder)
                if real in passed or f"{here}/".startswith(f"{real.rstrip('/')}/"):
                    subfolders.remove(name)
                    passed_over("link to a folder that it lies in, not followed")
                    continue
                led = passed | {real}
            led_to[path] = led
        prefix = os.path.relpath(folder, root).replace(os.sep, "/")
        for name in sorted(names):
            if name.startswith("."):
                passed_over("hidden file")
                continue
            try:
                status = os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118  (a hot path)
                size_bytes, fingerprint = status.st_size, str(status.st_mtime_ns)
            except FileNotFoundError:
                size_bytes, fingerprint = 0, NOTHING_THERE
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
                size_bytes, fingerprint = 0, NOTHING_THERE  # a link to itself
            path = name if prefix == "." else f"{prefix}/{name}"
            # A name that is no UTF-8 cannot stand in Parquet; escaped, it is not found and so rejected and counted.
            path = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            yield SourceFile(path, size_bytes, fingerprint)


def _list_remote(source: str, passed_over: PassedOver) -> Iterator[SourceFile]:
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
            name = path.rsplit("/", 1)[-1]
            if name in (".", ".."):
                passed_over(f"folder called {name} (keys with {name}/), not looked into")
                continue
            if name.startswith("."):
                passed_over("hidden file" if entry["type"] != "directory" else "hidden folder, not looked into")
                continue
            if entry["type"] == "directory":
                if entry["name"].rstrip("/") != folder:
                    subfolders.append(entry["name"].rstrip("/"))
                elif entry["name"] != folder:
                    passed_over("folder without a name (keys with //), not looked into")
            elif not path or path.endswith("/"):
                passed_over("mark of a folder, no file")
            else:
                yield SourceFile(path, entry["size"], _fingerprint(entry))
        pending += reversed(subfolders)


def _fingerprint(entry: Mapping[str, Any]) -> str:
    for key in ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "mtime", "modified", "created"):
        if entry.get(key):
            return str(entry[key]).strip('"')
    return ""
