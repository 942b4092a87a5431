"""JPEG files: decoded by OpenCV, with what libjpeg says of them on the way.

Of data that is damaged libjpeg fills what is missing with grey, says so on the standard error of the process, without
the file's name, and goes on; OpenCV hands on nothing of it.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

import cv2
import numpy as np

JPEG_BEGIN = b"\xff\xd8"
FLAGS = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR
"""Depth and channels as they are, and turned as the EXIF orientation says; `IMREAD_UNCHANGED` does not turn."""
WARNINGS = ("Corrupt JPEG data", "Premature end of JPEG file", "Inconsistent progression sequence", "Invalid SOS")
"""How libjpeg begins what it says of data that is not as it was written."""
_END, _SCAN_BEGINS, _PROGRESSIVE = b"\xff\xd9", 0xDA, (0xC2, 0xC6, 0xCA, 0xCE)
_TRAILER_BYTES = 4096
_PIPE_BYTES = 65536
_STANDARD_ERROR = 2
_one_at_a_time = threading.Lock()


def with_end(content: bytes) -> bytes:
    """Return a JPEG with an end marker: some programs leave it out, and some write more behind it.

    Empty where it cannot be told whether the pixels are all there: what a progressive JPEG lacks, its decoder does not
    miss. Of any other, `decode_jpeg` then says whether they are.
    """
    if _END in content[-_TRAILER_BYTES:]:
        return content
    at, progressive = 2, False
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != _SCAN_BEGINS:
        progressive = progressive or content[at + 1] in _PROGRESSIVE
        at += 1 if content[at + 1] == 0xFF else 2 + max(2, int.from_bytes(content[at + 2 : at + 4], "big"))
    # An end marker before the pixels is that of a preview.
    if _END in content[at:]:
        return content
    return b"" if progressive or at + 4 > len(content) else content + _END


def decode_jpeg(content: bytes) -> tuple[cv2.typing.MatLike | None, str]:
    """Return what OpenCV makes of a JPEG, None if nothing, and the first thing that libjpeg says against its data.

    Threads take turns: the standard error belongs to all of them.
    """
    with _one_at_a_time, _standard_error_caught() as said:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), FLAGS)
    lines = b"".join(said).decode("utf-8", "replace").splitlines(keepends=True)
    damage = [line.strip() for line in lines if line.startswith(WARNINGS)]
    others = "".join(line for line in lines if not line.startswith(WARNINGS))
    if others:
        with suppress(OSError):
            os.write(_STANDARD_ERROR, others.encode())
    return image, damage[0] if damage else ""


@contextmanager
def _standard_error_caught() -> Iterator[list[bytes]]:
    """Catch what is written to the standard error in the block; what a pipe does not hold is lost."""
    said: list[bytes] = []
    try:
        own = os.dup(_STANDARD_ERROR)
    except OSError:  # the process has none
        yield said
        return
    source, sink = _pipe_of(os.getpid())
    try:
        os.dup2(sink, _STANDARD_ERROR)
        yield said
    finally:
        os.dup2(own, _STANDARD_ERROR)
        os.close(own)
        with suppress(BlockingIOError):
            said.append(os.read(source, _PIPE_BYTES))


@cache
def _pipe_of(_process: int) -> tuple[int, int]:
    """Return a pipe of this process, kept for the next time: a new one for each image takes twice as long."""
    return os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
