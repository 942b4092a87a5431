"""The images of a source: read, several at a time where that means waiting, and decoded to pixels.

Plain numpy and OpenCV; nothing of Spark.
"""

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from hvdcells import storage
from hvdcells.data.png import png_damage
from hvdcells.images.apart import CrashedError, RefusedError, decode_apart
from hvdcells.images.formats import FORMATS, MOST_PIXELS, MOST_SCANS, Format, format_of, largest_file_bytes
from hvdcells.images.jpeg import JPEG_BEGIN, decode_jpeg, with_end
from hvdcells.images.orientation import orientation_of, turned

Pixels = npt.NDArray[np.uint8]
"""Of shape (height, width, 3)."""
Samples = npt.NDArray[Any]
"""uint8 or uint16, of shape (height, width) or (height, width, channels)."""
NO_IMAGE = f"not an image that is read here ({', '.join(each.name for each in FORMATS)})"
WHOLE_SAMPLE_BITS = 16
"""All of the bits of a 16-bit file are in use."""
_TURNED_HERE = frozenset(("PNG", "WebP"))
_REMOTE_READS = 16
_ROWS_AT_ONCE = 256
_REASONS: dict[type[OSError], str] = {
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
        with storage.open_regular(path) as file:
            return file.read()
    except OSError as error:
        return _reason(error)


def _reason(error: OSError) -> str:
    """Return why an image cannot be read; what is wrong with the disk or the store is raised again."""
    if error.errno == errno.ENXIO:
        return "no regular file"
    if error.errno == errno.ELOOP:
        return "a link that leads to itself"
    if type(error) not in _REASONS:
        raise error
    return _REASONS[type(error)]


def read_image(path: str, source: str) -> bytes | str:
    """Read one image of the source; a file that is gone or closed to us gives the reason instead of an error."""
    try:
        whole = "://" in path or path.startswith("/")
        return storage.read_bytes(path if whole else storage.join(source, path))
    except OSError as error:
        return _reason(error)


def decode(content: bytes, most_pixels: int = MOST_PIXELS, sample_bits: int = WHOLE_SAMPLE_BITS) -> Pixels:
    """Decode a file to RGB uint8 of shape (height, width, 3).

    Raises:
        Unreadable: see `decode_bgr`.
    """
    return np.asarray(cv2.cvtColor(decode_bgr(content, most_pixels, sample_bits), cv2.COLOR_BGR2RGB), np.uint8)


def decode_bgr(content: bytes, most_pixels: int = MOST_PIXELS, sample_bits: int = WHOLE_SAMPLE_BITS) -> Pixels:
    """Decode a file to uint8 of shape (height, width, 3), in OpenCV's order of channels.

    Grey becomes three equal channels, transparent pixels lie on black (the ground of the segmented cells), and an image
    is turned as its EXIF orientation says. A file that would crash the decoder costs the process nothing: see
    `formats.Format.apart`.

    Args:
        content: of the file.
        most_pixels: width × height of the largest image that is decoded.
        sample_bits: used of the values of 16-bit files, which the eight highest of these become.

    Raises:
        Unreadable: see `decode_samples`; or it has values above `sample_bits`.
    """
    samples = decode_samples(content, most_pixels)
    largest = largest_deep_value(samples)
    if largest >= 1 << sample_bits:
        raise Unreadable(f"values up to {largest}, expected {sample_bits} bits, as in the images of the training")
    return as_bgr(samples, sample_bits)


def decode_samples(content: bytes, most_pixels: int = MOST_PIXELS) -> Samples:
    """Decode a file to values as it holds them, upright, of shape (height, width[, 1, 3 or 4]).

    Args:
        content: of the file.
        most_pixels: width × height of the largest image that is decoded.

    Raises:
        Unreadable: empty, cut short, damaged so that its decoder says so, not an image of a format that is read, larger
            than it may be, or of a kind that has no honest form in RGB uint8.
    """
    found = _check_header(content, most_pixels)
    image: Any  # three functions give it three types of array
    damage = ""
    try:
        if found.apart:
            image = decode_apart(content, most_pixels)
        elif content.startswith(JPEG_BEGIN):
            whole = with_end(content)
            if not whole:
                raise Unreadable("truncated JPEG: no end marker")
            image, damage = decode_jpeg(whole)
            if damage and whole is not content:
                raise Unreadable(f"truncated JPEG: no end marker, and {damage}")
        else:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except (cv2.error, RefusedError, CrashedError, MemoryError) as error:
        reason = getattr(error, "err", "") or str(error)
        raise Unreadable(f"OpenCV cannot decode it: {reason}" if reason else NO_IMAGE) from None
    if damage:
        raise Unreadable(f"damaged JPEG: {damage}")
    if image is None:
        raise Unreadable(NO_IMAGE)
    if image.dtype not in (np.uint8, np.uint16):
        raise Unreadable(f"pixels of type {image.dtype}, expected 8 or 16 bits without sign")
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels not in (1, 3, 4):
        raise Unreadable(f"{channels} channels, expected 1, 3 or 4")
    if found.name in _TURNED_HERE and (orientation := orientation_of(content, found.name)) != 1:
        return turned(image, orientation)
    return np.asarray(image)


def largest_deep_value(samples: Samples) -> int:
    """Return the largest value of an image of more than 8 bits, transparency aside; 0 for one of 8 bits."""
    if samples.dtype == np.uint8:
        return 0
    return int((samples[..., :3] if samples.ndim == 3 else samples).max())


def sample_bits_of(largest: int) -> int:
    """Return how many bits of 16 a camera has used whose largest value is this: 8, 10, 12, 14 or 16."""
    return max(8, largest.bit_length() + largest.bit_length() % 2)


def as_bgr(samples: Samples, sample_bits: int) -> Pixels:
    """Return values as uint8 of shape (height, width, 3): of more than 8 bits the eight highest of those in use."""
    pixels = np.asarray(samples, np.uint8) if samples.dtype == np.uint8 else _in_8_bits(samples, sample_bits)
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return pixels
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        return _on_black(pixels)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), np.uint8)


def _in_8_bits(samples: Samples, sample_bits: int) -> Pixels:
    deep = np.ascontiguousarray(samples)
    high_bytes = deep.view(np.uint8).reshape(*deep.shape, 2)[..., 1 if sys.byteorder == "little" else 0]
    if sample_bits == WHOLE_SAMPLE_BITS:
        return np.ascontiguousarray(high_bytes)
    pixels = np.minimum(deep >> (sample_bits - 8), 255).astype(np.uint8)
    if pixels.ndim == 3 and pixels.shape[2] == 4:  # transparency has its own range: all of it
        pixels[..., 3] = high_bytes[..., 3]
    return pixels


def _on_black(pixels: Pixels) -> Pixels:
    """Return BGR of BGRA, some rows at a time: products of a large image would take six times its memory."""
    flat = np.empty((*pixels.shape[:2], 3), np.uint8)
    for row in range(0, len(pixels), _ROWS_AT_ONCE):
        part = pixels[row : row + _ROWS_AT_ONCE]
        flat[row : row + _ROWS_AT_ONCE] = (part[..., :3] * part[..., 3:].astype(np.uint16) + 127) // 255
    return flat


def _check_header(content: bytes, most_pixels: int) -> Format:
    """Refuse what is not to be decoded; return its format.

    Raises:
        Unreadable: empty, not of a format that is read, cut short, or larger than it may be.
    """
    if not content:
        raise Unreadable("empty file")
    if len(content) > largest_file_bytes(most_pixels):
        raise Unreadable(too_large_file(len(content), most_pixels))
    found = format_of(content)
    if found is None:
        raise Unreadable(NO_IMAGE)
    _refuse_incomplete(content)
    size = found.size(content)
    if size is None:
        raise Unreadable(f"{found.name} header without a size")
    width, height = size
    if width < 1 or height < 1 or width * height > most_pixels:
        raise Unreadable(f"{found.name} of {width} × {height} pixels, expected at most {most_pixels:,} in all")
    if found.name == "JPEG" and content.count(b"\xff\xda") * width * height > MOST_SCANS * most_pixels:
        raise Unreadable("JPEG that draws its pixels again and again")
    return found


def too_large_file(num_bytes: int, most_pixels: int) -> str:
    """Return the reason for which a file of so many bytes is not read."""
    return f"a file of {num_bytes:,} bytes, expected at most {largest_file_bytes(most_pixels):,}"


def _refuse_incomplete(content: bytes) -> None:
    """OpenCV fills the missing part of a truncated file with black or grey and says nothing: look first."""
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
    elif content[:8] == b"\x89PNG\r\n\x1a\n" and (damage := png_damage(content)):
        raise Unreadable(f"truncated PNG: {damage}" if "end" in damage else f"PNG with {damage}")
