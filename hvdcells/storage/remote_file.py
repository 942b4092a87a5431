"""A file of an object store, read in parts."""

import errno
import io
from typing import cast

from hvdcells.storage import retries
from hvdcells.storage.locations import Location, filesystem


class RemoteFile(io.RawIOBase):
    """A file to be read, of which each read is one request for these bytes, tried again where it fails.

    Nothing is read ahead: that would fetch what other ranks read.
    """

    def __init__(self, location: Location) -> None:
        self._fs, self._path = filesystem(location)
        self._location, self._at = location, 0
        self._size = int(retries.call(self._fs.info, self._path, where=location)["size"])

    def readable(self) -> bool:
        """Whether it can be read: yes."""
        return True

    def seekable(self) -> bool:
        """Whether its position can be set: yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position; return it."""
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """Read so many bytes, fewer only at the end; all that is left without a number."""
        end = self._size if size is None or size < 0 else min(self._size, self._at + size)
        if end <= self._at:
            return b""
        content = retries.call(self._fetch, self._at, end, where=self._location)
        self._at = end
        return content

    def readall(self) -> bytes:
        """Read all that is left."""
        return self.read()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # typeshed's Buffer has no len
        """Read into a buffer; return how many bytes."""
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def _fetch(self, start: int, end: int) -> bytes:
        content = cast(bytes, self._fs.cat_file(self._path, start=start, end=end))
        if len(content) != end - start:
            raise OSError(errno.EIO, f"{len(content)} bytes came of the {end - start} asked for")
        return content
