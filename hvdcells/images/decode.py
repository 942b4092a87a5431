"""The images of a source: read, several at a time where that means waiting, and decoded to pixels.

Plain numpy and OpenCV; nothing of Spark.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import cv2
import numpy as np
import numpy.typing as npt

from hvdcells import storage

Pixels = npt.NDArray[np.uint8]
"""Of shape (height, width, 3)."""
_REMOTE_READS = 16
_REASONS = {
    FileNotFoundError: "file not found",
    IsADirectoryError: "a folder, not a file",
    PermissionError: "no permission to read it",
}


class Unreadable(Exception):  # noqa: N818  (a verdict about an image, not a fault)
    """The image cannot be used; the message is the reason."""


def read_ahead(paths: Iterable[str], source: str) -> Iterator[bytes | str]:
    """Yield each image's bytes, or the reason why they cannot be read (text).

    Args:
        paths: below the source, absolute, or addresses.
        source: location of the source.
    """
    if storage.is_local(source):
        # Straight from the disk: fsspec would take a third of the time of reading.
        for path in paths:
            yield read_image(path, source) if "://" in path else _read_local(os.path.join(source, path))  # noqa: PTH118
        return
    paths = iter(paths)
    with ThreadPoolExecutor(_REMOTE_READS) as pool:
        pending = [pool.submit(read_image, path, source) for path in islice(paths, 2 * _REMOTE_READS)]
        while pending:
            yield pending.pop(0).result()
            pending += [pool.submit(read_image, path, source) for path in islice(paths, 1)]


def _read_local(path: str) -> bytes | str:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            return file.read()
    except tuple(_REASONS) as error:
        return _REASONS[type(error)]


def read_image(path: str, source: str) -> bytes | str:
    """Read one image of the source; a file that is gone or closed to us gives the reason instead of an error."""
    try:
        whole = "://" in path or path.startswith("/")
        return storage.read_bytes(path if whole else storage.join(source, path))
    except tuple(_REASONS) as error:
        return _REASONS[type(error)]


def decode(content: bytes) -> Pixels:
    """Decode a file to RGB uint8 of shape (height, width, 3).

    Raises:
        Unreadable: see `decode_bgr`.
    """
    return np.asarray(cv2.cvtColor(decode_bgr(content), cv2.COLOR_BGR2RGB), np.uint8)


def decode_bgr(content: bytes) -> Pixels:
    """Decode a file to uint8 of shape (height, width, 3), in OpenCV's order of channels.

    Grey becomes three equal channels, 16-bit values their high byte, transparent pixels lie on black (the ground of
    the segmented cells).

    Raises:
        Unreadable: empty, cut short, not an image, or of a kind that has no honest form in RGB uint8.
    """
    _refuse_incomplete(content)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise Unreadable(f"OpenCV cannot decode it: {error.err or error}") from None
    if image is None:
        raise Unreadable("not an image OpenCV can decode")
    if image.dtype not in (np.uint8, np.uint16):
        raise Unreadable(f"pixels of type {image.dtype}, expected 8 or 16 bits without sign")
    pixels = np.asarray(image if image.dtype == np.uint8 else np.right_shift(image, 8), np.uint8)
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if channels == 1:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), np.uint8)
    if channels == 3:
        return pixels
    if channels == 4:
        alpha = pixels[..., 3:].astype(np.uint16)
        return ((pixels[..., :3] * alpha + 127) // 255).astype(np.uint8)
    raise Unreadable(f"{channels} channels, expected 1, 3 or 4")


def _refuse_incomplete(content: bytes) -> None:
    """OpenCV fills the missing part of a truncated file with black or grey and says nothing: look first."""
    if not content:
        raise Unreadable("empty file")
    if content[:2] == b"BM":
        if len(content) < 26:
            raise Unreadable("truncated BMP")
        data_at = int.from_bytes(content[10:14], "little")
        width = int.from_bytes(content[18:22], "little", signed=True)
        height = abs(int.from_bytes(content[22:26], "little", signed=True))
        bits = int.from_bytes(content[28:30], "little")
        compression = int.from_bytes(content[30:34], "little")
        if width <= 0 or height == 0:
            raise Unreadable("BMP header without a size")
        row_bytes = (width * bits + 31) // 32 * 4
        # The last row may lack its padding.
        if compression in (0, 3) and len(content) < data_at + row_bytes * height - 3:
            raise Unreadable(f"truncated BMP: {len(content)} bytes of {data_at + row_bytes * height}")
    elif content[:8] == b"\x89PNG\r\n\x1a\n":
        if b"IEND" not in content[-64:]:
            raise Unreadable("truncated PNG: no end chunk")
    elif content[:2] == b"\xff\xd8" and b"\xff\xd9" not in content[-4096:]:
        raise Unreadable("truncated JPEG: no end marker")
