"""How a camera was held, as EXIF says it, and images turned accordingly.

OpenCV turns JPEGs and TIFFs by itself; PNGs and WebPs are turned here.
"""

import zlib

import numpy as np
import numpy.typing as npt

from hvdcells.images import tiff

_EXIF = b"Exif\0\0"
_JPEG_HEAD_BYTES = 2**17


def orientation_of(content: bytes, name: str) -> int:
    """Return the EXIF orientation of a file, 1 (upright) to 8; 1 where it says nothing.

    Args:
        content: of the file.
        name: of its format, as `formats.Format` has it.
    """
    block = _exif_of(content, name)
    if block[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return 1
    told = next(tiff.directories(block), {}).get(tiff.ORIENTATION, 1)
    return told if 1 <= told <= 8 else 1


def _exif_of(content: bytes, name: str) -> bytes:
    """Return the EXIF block of a file, a TIFF without pixels; empty where there is none."""
    if name == "TIFF":
        return content
    if name == "JPEG":
        at = content.find(_EXIF, 0, _JPEG_HEAD_BYTES)
        return content[at + len(_EXIF) : at + 2**16] if at > 0 else b""
    if name == "PNG":
        at = content.find(b"eXIf")
        end = at + 4 + int.from_bytes(content[at - 4 : at], "big") if at > 4 else 0
        whole = content[at:end]
        # The four letters may stand among compressed pixels; a chunk ends with its checksum.
        return whole[4:] if whole and zlib.crc32(whole) == int.from_bytes(content[end : end + 4], "big") else b""
    if name == "WebP" and content[12:16] == b"VP8X" and content[20] & 8:
        at = content.rfind(b"EXIF")
        block = content[at + 8 : at + 8 + int.from_bytes(content[at + 4 : at + 8], "little")] if at > 0 else b""
        return block.removeprefix(_EXIF)
    return b""


def turned(pixels: npt.NDArray[np.generic], orientation: int) -> npt.NDArray[np.generic]:
    """Return an image, of shape (height, width[, channels]), upright."""
    if orientation in (2, 7):
        pixels = pixels[:, ::-1]
    elif orientation in (4, 5):
        pixels = pixels[::-1]
    quarters = {3: 2, 5: 3, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.ascontiguousarray(np.rot90(pixels, quarters))
