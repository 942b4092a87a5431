"""Formats of images, told by their first bytes, and the size of an image by its header: nothing is decoded.

OpenCV tells formats by content too, and takes more of them than are images of cells. What is not known here is never
given to it, and what is known is given only where it is not larger than the limit.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from hvdcells.images import tiff

MOST_PIXELS = 64_000_000
"""Width × height of the largest image that is decoded, unless another limit is given."""
BYTES_PER_PIXEL = 8
"""Of the largest honest file: four channels of 16 bits, not compressed."""
HEADER_BYTES = 2**20
MOST_SCANS = 16
"""Times that a JPEG of the largest size may draw all its pixels; a smaller one may draw them more often."""
_PNM = re.compile(rb"P[1-6](?:\s*(?:#[^\n]*\n)?)*?\s(\d{1,9})\s(?:\s*(?:#[^\n]*\n)?)*?(\d{1,9})\s")


class Format(NamedTuple):
    """A format that is read."""

    name: str
    size: Callable[[bytes], tuple[int, int] | None]
    """Returns (width, height) of a file; None where its header does not say it."""
    apart: bool = False
    """It is decoded in a process of its own: its decoder in OpenCV 4.11 is known to crash on files that are made for
    it (libtiff 4.6.0, OpenJPEG 2.5.0)."""


def format_of(content: bytes) -> Format | None:
    """Return the format of a file by its first bytes; None for any other."""
    if content[:2] == b"BM":
        return _BMP
    if content[:8] == b"\x89PNG\r\n\x1a\n":
        return _PNG
    if content[:3] == b"\xff\xd8\xff":
        return _JPEG
    if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _TIFF
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return _WEBP
    if content[:12] == b"\0\0\0\x0cjP  \r\n\x87\n" or content[:4] == b"\xff\x4f\xff\x51":
        return _JPEG_2000
    if content[:1] == b"P" and content[1:2] in b"123456" and content[2:3].isspace():
        return _PNM_FORMAT
    return None


def largest_file_bytes(most_pixels: int) -> int:
    """Return the size of the largest file that is read for images of so many pixels."""
    return most_pixels * BYTES_PER_PIXEL + HEADER_BYTES


def _of_bmp(content: bytes) -> tuple[int, int] | None:
    if int.from_bytes(content[14:18], "little") == 12:  # of OS/2
        return int.from_bytes(content[18:20], "little"), int.from_bytes(content[20:22], "little")
    width = int.from_bytes(content[18:22], "little", signed=True)
    return width, abs(int.from_bytes(content[22:26], "little", signed=True))  # below zero: from the top down


def _of_png(content: bytes) -> tuple[int, int] | None:
    if content[12:16] != b"IHDR":
        return None
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")


def _of_jpeg(content: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 < len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = (int.from_bytes(content[at + n : at + n + 2], "big") for n in (5, 7))
            return width, height
        elif marker in (0xD9, 0xDA):
            return None
        else:
            at += 2 + max(2, int.from_bytes(content[at + 2 : at + 4], "big"))
    return None


def _of_tiff(content: bytes) -> tuple[int, int] | None:
    found = next(tiff.directories(content), {})
    return (found[tiff.WIDTH], found[tiff.HEIGHT]) if {tiff.WIDTH, tiff.HEIGHT} <= found.keys() else None


def _of_webp(content: bytes) -> tuple[int, int] | None:
    match content[12:16]:
        case b"VP8X":
            width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (24, 27))
            return width, height
        case b"VP8L":
            bits = int.from_bytes(content[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            width, height = (int.from_bytes(content[at : at + 2], "little") & 0x3FFF for at in (26, 28))
            return width, height
    return None


def _of_jpeg_2000(content: bytes) -> tuple[int, int] | None:
    at = content.find(b"\xff\x4f\xff\x51", 0, HEADER_BYTES)
    if at < 0:
        return None
    width, height, left, top = (int.from_bytes(content[at + n : at + n + 4], "big") for n in (8, 12, 16, 20))
    return width - left, height - top


def _of_pnm(content: bytes) -> tuple[int, int] | None:
    found = _PNM.match(content[:4096])
    return (int(found[1]), int(found[2])) if found else None


_BMP, _PNG, _JPEG = Format("BMP", _of_bmp), Format("PNG", _of_png), Format("JPEG", _of_jpeg)
_TIFF, _WEBP = Format("TIFF", _of_tiff, apart=True), Format("WebP", _of_webp)
_JPEG_2000, _PNM_FORMAT = Format("JPEG 2000", _of_jpeg_2000, apart=True), Format("PNM", _of_pnm)
FORMATS = (_BMP, _PNG, _JPEG, _TIFF, _WEBP, _JPEG_2000, _PNM_FORMAT)
