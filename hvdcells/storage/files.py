"""Whole files: read in one go, and written so that no reader ever sees half of one.

On disk a file is written aside and renamed; object stores replace an object in one step by themselves, and what is
asked of them is retried. All of it raises `OSError` alone, whatever the client of a store raises, and
`FileNotFoundError` where nothing is.
"""

import errno
import os
import re
import stat
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from hvdcells.storage import retries
from hvdcells.storage.locations import Location, filesystem, local_path
from hvdcells.storage.remote_file import RemoteFile

ASIDE = re.compile(r"\..+\.[0-9a-f]{8}")
"""Names of files that are being written aside."""
_NO_LINKS = frozenset((errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK))


def read_bytes(location: Location) -> bytes:
    """Read a whole file.

    Raises:
        FileNotFoundError: nothing is there.
    """
    local = local_path(location)
    if local is not None:
        with open_regular(local) as opened:
            return opened.read()
    fs, path = filesystem(location)
    return cast(bytes, retries.call(fs.cat_file, path, where=location))


def read_text(location: Location) -> str:
    """Read a whole UTF-8 file."""
    return read_bytes(location).decode("utf-8")


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a local file without a buffer; what is no file is not waited for.

    Raises:
        FileNotFoundError: nothing is there.
        IsADirectoryError: a folder is there.
        OSError: a pipe, a socket or a device is there, which may have no end.
    """
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        kind = os.fstat(opened).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(kind):
            raise OSError(errno.ENXIO, "a pipe, a socket or a device, no regular file", str(path))
        return open(opened, "rb", buffering=0)  # noqa: PTH123
    except BaseException:
        os.close(opened)
        raise


@contextmanager
def open_file(location: Location) -> Iterator[BinaryIO]:
    """Open a file to be read in parts, from any place; nothing is read ahead, and each read is retried.

    Raises:
        FileNotFoundError: nothing is there.
    """
    local = local_path(location)
    if local is not None:
        with open_regular(local) as opened:
            yield opened
        return
    with RemoteFile(location) as remote:
        yield cast(BinaryIO, remote)


@contextmanager
def local_copy(location: Location) -> Iterator[str]:
    """Yield a local path of a file: its own if it is on disk, that of a copy otherwise.

    Raises:
        FileNotFoundError: nothing is there.
    """
    local = local_path(location)
    if local is not None:
        if not Path(local).exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), local)
        yield local
        return
    fs, path = filesystem(location)
    with tempfile.TemporaryDirectory(prefix="hvdcells-") as folder:
        copy = str(Path(folder) / "file")
        retries.call(fs.get_file, path, copy, where=location)
        yield copy


def write_bytes(location: Location, content: bytes) -> None:
    """Write a whole file so that no reader ever sees half of it."""
    local = local_path(location)
    if local is None:
        fs, path = filesystem(location)
        retries.call(fs.pipe_file, path, content, where=location)
        return
    with _aside(Path(local)) as aside:
        aside.write_bytes(content)
        aside.replace(local)


def write_text(location: Location, text: str) -> None:
    """Write a whole UTF-8 file so that no reader ever sees half of it."""
    write_bytes(location, text.encode("utf-8"))


def create_text(location: Location, text: str) -> bool:
    """Write a whole UTF-8 file where none is; return whether it was done. Of several writers at once, one succeeds.

    Args:
        location: of the file.
        text: no two writers may write the same, so that each knows its own: a store may carry a request out and
            answer that it has failed, and then refuse the next try because of the first.
    """
    content = text.encode("utf-8")
    local = local_path(location)
    if local is not None:
        return _create_locally(Path(local), content)
    fs, path = filesystem(location)
    try:
        retries.call(fs.pipe_file, path, content, mode="create", where=location)
    except OSError as error:
        if not _says_it_is_there(error):
            raise
        try:
            return read_bytes(location) == content
        except FileNotFoundError:  # it was there, and was not ours
            return False
    return True


def _says_it_is_there(error: OSError) -> bool:
    # s3fs tells FileExistsError where S3's answer names the condition, which not all stores' answers do.
    answer = getattr(error.__cause__, "response", None) or {}
    return isinstance(error, FileExistsError) or answer.get("Error", {}).get("Code") in ("PreconditionFailed", "412")


def _create_locally(target: Path, content: bytes) -> bool:
    with _aside(target) as aside:
        aside.write_bytes(content)
        try:
            target.hardlink_to(aside)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # A file system without hard links: a reader may see the file before it is whole.
            try:
                with target.open("xb") as opened:
                    opened.write(content)
            except FileExistsError:
                return False
    return True


@dataclass
class UnnamedFile:
    """A file that is being written, whose name may not be known yet."""

    path: str
    """Local path to write to."""
    location: str | None = None
    """Where it is to appear, in the folder it was opened for; nowhere if that stays open."""


@contextmanager
def unnamed_file(folder: Location) -> Iterator[UnnamedFile]:
    """Yield a file to write to; at the end it appears at the `location` set, in that folder; after an error not."""
    local = local_path(folder)
    if local is not None:
        with _aside(Path(local, "file")) as aside:
            file = UnnamedFile(str(aside))
            yield file
            if file.location is not None:
                aside.replace(filesystem(file.location)[1])
        return
    with tempfile.TemporaryDirectory(prefix="hvdcells-") as temporary:
        file = UnnamedFile(str(Path(temporary) / "file"))
        yield file
        if file.location is not None:
            _put(file.path, file.location)


@contextmanager
def new_file(location: Location) -> Iterator[BinaryIO]:
    """Open a file that appears at its location, whole, when the block ends, and not at all when the block fails.

    For what is too large to be held in memory twice. On disk it outlives a crash of the machine too.
    """
    local = local_path(location)
    if local is None:
        with tempfile.NamedTemporaryFile(prefix="hvdcells-") as temporary:
            yield cast(BinaryIO, temporary)
            temporary.flush()
            _put(temporary.name, location)
        return
    with _aside(Path(local)) as aside:
        with aside.open("wb") as opened:
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
        aside.replace(local)


def _put(local: str, location: Location) -> None:
    fs, path = filesystem(location)
    retries.call(fs.put_file, local, path, where=location)


def make_private_folder(folder: Path) -> None:
    """Make a folder on disk, and those above it, where they are missing: images and names of patients are for their
    owner alone. A folder that is there keeps its rights.

    Raises:
        NotADirectoryError: a file is there, or above it.
    """
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        try:
            each.mkdir(mode=0o700)
        except FileExistsError:
            if not each.is_dir():  # it is not one that another process has just made
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(each)) from None


@contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """Yield a path beside a file to be, for one that is then renamed; what is left of it is removed."""
    make_private_folder(target.parent)
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        yield aside
    except OSError as error:
        if error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT):
            error.filename = str(target)  # writing to an open file names none
        raise
    finally:
        aside.unlink(missing_ok=True)
