"""One image: its file → the square of the wanted size, and what is learnt about it on the way.

Plain numpy and OpenCV; nothing of Spark.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from etl.images.marks import marks_of
from hvdcells.data.checksums import pixel_hash
from hvdcells.images.decode import WHOLE_SAMPLE_BITS, Pixels, as_bgr, decode_samples, largest_deep_value
from hvdcells.images.formats import MOST_PIXELS
from hvdcells.images.prepare import square_of


@dataclass(frozen=True)
class NormalisedImage:
    """An image as it goes into the dataset, and what was learnt about its pixels."""

    square: Pixels
    """The pixels, uint8 of shape (image_size, image_size, 3), in OpenCV's order of channels: BGR."""
    content_hash: str
    """Of the pixels as they were decoded, in the same order of channels."""
    perceptual_hash: int
    channel_sums: tuple[int, int, int]
    """Sum of each channel over `square`, in the order R, G, B."""
    channel_square_sums: tuple[int, int, int]
    largest_deep_value: int
    """Of an image of more than 8 bits; 0 for one of 8."""
    marks: tuple[str, ...]
    """What is to be known of the image."""


def process(
    content: bytes,
    image_size: int,
    crop: int,
    most_pixels: int = MOST_PIXELS,
    sample_bits: int = WHOLE_SAMPLE_BITS,
) -> NormalisedImage:
    """Decode, crop and resize one image.

    Args:
        content: the file's bytes.
        image_size: side of the result, in pixels.
        crop: side of the centre square, in pixels; 0 for the largest.
        most_pixels: width × height of the largest image that is decoded.
        sample_bits: used of the values of 16-bit files; what is larger becomes white.

    Raises:
        Unreadable: the bytes are no whole image that can be brought to RGB uint8.
    """
    samples = decode_samples(content, most_pixels)
    pixels = as_bgr(samples, sample_bits)
    square = square_of(pixels, image_size, crop)
    # Sums of uint8 are whole numbers, and OpenCV's norms of single planes are the fastest way to them.
    planes = cv2.split(square)
    sums, square_sums = _rgb_norms(planes, cv2.NORM_L1), _rgb_norms(planes, cv2.NORM_L2SQR)
    return NormalisedImage(
        square,
        pixel_hash(pixels),
        perceptual_hash(square),
        sums,
        square_sums,
        largest_deep_value(samples),
        marks_of(content, samples),
    )


def channel_sums(pixels: Pixels) -> list[int]:
    """Return the sums of R, G and B and of their squares, of RGB pixels."""
    planes = cv2.split(pixels)[::-1]
    return [*_rgb_norms(planes, cv2.NORM_L1), *_rgb_norms(planes, cv2.NORM_L2SQR)]


def _rgb_norms(planes: Sequence[cv2.typing.MatLike], kind: int) -> tuple[int, int, int]:
    blue, green, red = (round(cv2.norm(plane, kind)) for plane in planes)
    return red, green, blue


def perceptual_hash(square: Pixels) -> int:
    """64-bit hash of the low frequencies of the grey image (DCT): near-duplicates differ in few bits.

    Takes BGR; returns a signed 64-bit integer, as Arrow's `int64` holds it.
    """
    grey = cv2.resize(cv2.cvtColor(square, cv2.COLOR_BGR2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
    low = cv2.dct(grey.astype(np.float32))[:8, :8].ravel()
    bits = np.packbits(low > np.partition(low, 32)[32]).tobytes()
    return int.from_bytes(bits, "big", signed=True)
