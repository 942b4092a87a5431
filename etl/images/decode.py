"""One image: bytes → pixels → centre crop → square of the wanted size, and what is learnt about it on the way.

Plain numpy and OpenCV; nothing of Spark.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import xxhash


class Unreadable(Exception):  # noqa: N818  (a verdict about an image, not a fault)
    """The image cannot be used; the message is the reason."""


@dataclass(frozen=True)
class Decoded:
    """An image as it goes into the dataset, and what was learnt about its pixels."""

    square: np.ndarray
    """The pixels, uint8 of shape (image_size, image_size, 3), in OpenCV's order of channels: BGR."""
    content_hash: str
    perceptual_hash: int
    channel_sums: tuple[int, int, int]
    """Sum of each channel over `square`, in the order R, G, B."""
    channel_square_sums: tuple[int, int, int]


def process(content: bytes, image_size: int, crop: int) -> Decoded:
    """Decode, crop and resize one image.

    Args:
        content: the file's bytes.
        image_size: side of the result, in pixels.
        crop: side of the centre square, in pixels; 0 for the largest.

    Raises:
        Unreadable: the bytes are no whole image that can be brought to RGB uint8.
    """
    pixels = _decode_bgr(content)
    square = resize(centre_square(pixels, crop), image_size)
    # Sums of uint8 are whole numbers, and OpenCV's norms of single planes are the fastest way to them.
    red_first = cv2.split(square)[::-1]
    sums = tuple(round(cv2.norm(plane, cv2.NORM_L1)) for plane in red_first)
    square_sums = tuple(round(cv2.norm(plane, cv2.NORM_L2SQR)) for plane in red_first)
    return Decoded(square, content_hash(pixels), perceptual_hash(square), sums, square_sums)


def decode(content: bytes) -> np.ndarray:
    """Decode a file to RGB uint8 of shape (height, width, 3).

    Raises:
        Unreadable: see `process`.
    """
    return cv2.cvtColor(_decode_bgr(content), cv2.COLOR_BGR2RGB)


def _decode_bgr(content: bytes) -> np.ndarray:
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
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.dtype != np.uint8:
        raise Unreadable(f"pixels of type {image.dtype}, expected 8 or 16 bits without sign")
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    if channels == 3:
        return image
    if channels == 4:
        alpha = image[..., 3:].astype(np.uint16)
        return ((image[..., :3] * alpha + 127) // 255).astype(np.uint8)
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


def content_hash(pixels: np.ndarray) -> str:
    """128-bit hash (XXH3) of shape and pixels, whatever the file's header, as hexadecimal text."""
    state = xxhash.xxh3_128(f"{pixels.shape[0]}x{pixels.shape[1]}:".encode())
    state.update(np.ascontiguousarray(pixels))
    return state.hexdigest()


def perceptual_hash(square: np.ndarray) -> int:
    """64-bit hash of the low frequencies of the grey image (DCT): near-duplicates differ in few bits.

    Takes BGR; returns a signed 64-bit integer, as Arrow's `int64` holds it.
    """
    grey = cv2.resize(cv2.cvtColor(square, cv2.COLOR_BGR2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
    low = cv2.dct(grey.astype(np.float32))[:8, :8].ravel()
    bits = np.packbits(low > np.partition(low, 32)[32]).tobytes()
    return int.from_bytes(bits, "big", signed=True)


def centre_square(pixels: np.ndarray, crop: int) -> np.ndarray:
    """Cut the centre square of side `crop` (0: the largest); what the image does not cover stays black."""
    height, width = pixels.shape[:2]
    side = crop or min(height, width)
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    cut = pixels[top : top + side, left : left + side]
    if cut.shape[:2] == (side, side):
        return cut
    padded = np.zeros((side, side, 3), np.uint8)
    above, before = (side - cut.shape[0]) // 2, (side - cut.shape[1]) // 2
    padded[above : above + cut.shape[0], before : before + cut.shape[1]] = cut
    return padded


def resize(square: np.ndarray, image_size: int) -> np.ndarray:
    """Resize a square to (image_size, image_size, 3): by area when it shrinks, by cubic interpolation when it grows."""
    if square.shape[0] == image_size:
        return np.ascontiguousarray(square)
    method = cv2.INTER_AREA if square.shape[0] > image_size else cv2.INTER_CUBIC
    return cv2.resize(square, (image_size, image_size), interpolation=method)


def use_one_thread() -> None:
    """Keep OpenCV to the thread it is called on: Spark runs one task per core already."""
    cv2.setNumThreads(0)
