"""Images as the dataset stores them, as Petastorm's stock codecs do: `raw` is numpy's own format, `png` is PNG."""

import io
import warnings

import cv2
import numpy as np
import pyarrow as pa
from numpy.lib import format as npy
from numpy.typing import NDArray

from hvdcells.data.columns import LARGEST_IMAGE_SIZE, ImageEncoding
from hvdcells.data.png import png_damage

PNG_BEGIN = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
"""First bytes of every PNG; width and height follow, four bytes each."""
HEADER_SLACK_BYTES = 4096
"""What an encoded image may take beside its pixels."""


class DamagedImageError(ValueError):
    """A stored image is not what its codec wrote."""


class ImageColumn:
    """The `image` column of one row group after another, filled image by image.

    Raw pixels are turned to RGB straight into the memory that Arrow hands to Parquet: no copy between, and no new
    memory per row group, whose pages the kernel would have to clear each time.
    """

    def __init__(self, capacity: int, image_size: int, encoding: ImageEncoding) -> None:
        """Hold at most `capacity` images at a time."""
        self._num_images = 0
        self._encoded: list[bytes] | None = [] if encoding == "png" else None
        if self._encoded is None:
            shape = (image_size, image_size, 3)
            header = numpy_header(shape)
            self._bytes = np.empty((capacity, len(header) + image_size * image_size * 3), np.uint8)
            self._bytes[:, : len(header)] = np.frombuffer(header, np.uint8)
            self._pixels = [row[len(header) :].reshape(shape) for row in self._bytes]

    def add(self, square: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Add an image: uint8 of shape (image_size, image_size, 3), BGR. Return it as it will be read, RGB."""
        number, self._num_images = self._num_images, self._num_images + 1
        if self._encoded is not None:
            self._encoded.append(cv2.imencode(".png", square)[1].tobytes())
            return np.asarray(cv2.cvtColor(square, cv2.COLOR_BGR2RGB), np.uint8)
        cv2.cvtColor(square, cv2.COLOR_BGR2RGB, dst=self._pixels[number])
        stored: NDArray[np.uint8] = self._pixels[number]
        return stored

    def take(self) -> pa.Array:
        """Return the images added so far and begin anew; what is returned is good until the next `add`."""
        num_images, self._num_images = self._num_images, 0
        if self._encoded is not None:
            taken, self._encoded = pa.array(self._encoded, pa.binary()), []
            return taken
        offsets = np.arange(num_images + 1, dtype=np.int32) * np.int32(self._bytes.shape[1])
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(self._bytes[:num_images])]
        return pa.Array.from_buffers(pa.binary(), num_images, buffers)


def numpy_header(shape: tuple[int, ...]) -> bytes:
    """Return what numpy's own format puts before uint8 pixels of a shape."""
    memory = io.BytesIO()
    np.save(memory, np.empty(shape, np.uint8))
    return memory.getvalue()[: -int(np.prod(shape))]


def encode(square: NDArray[np.uint8], encoding: ImageEncoding) -> bytes:
    """Return one RGB image of shape (size, size, 3) as it is stored."""
    column = ImageColumn(1, square.shape[0], encoding)
    column.add(np.ascontiguousarray(square[..., ::-1]))
    stored: bytes = column.take()[0].as_py()
    return stored


def largest_stored_bytes(image_size: int) -> int:
    """Return a bound on the bytes of one stored image of shape (image_size, image_size, 3)."""
    num_bytes = image_size * image_size * 3
    # PNG puts a byte before each line, and deflate a few before each block of what it cannot compress.
    return num_bytes + num_bytes // 64 + image_size + HEADER_SLACK_BYTES


def decode_stored(stored: bytes | pa.Buffer, encoding: ImageEncoding) -> NDArray[np.uint8]:
    """Decode what `ImageColumn` made, to RGB uint8.

    Raises:
        DamagedImageError: it is not what `ImageColumn` made.
    """
    if encoding == "png":
        image = decode_png(stored)
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return decode_raw(stored)


def decode_raw(stored: bytes | pa.Buffer) -> NDArray[np.uint8]:
    """Load an array in numpy's own format, which need not be an image; nothing is un-pickled.

    Raises:
        DamagedImageError: it is no such array.
    """
    try:
        array: NDArray[np.uint8] = npy.read_array(io.BytesIO(stored), allow_pickle=False)
        return array
    except Exception as error:  # the parsing of the header raises nearly everything
        raise DamagedImageError(f"damaged stored image: {error}") from None


def decode_png(stored: bytes | pa.Buffer) -> NDArray[np.uint8]:
    """Decode a stored PNG to BGR uint8 of shape (height, width, 3).

    OpenCV takes any format that it recognises, of any size, and fills the missing part of a file that is cut short: a
    few bytes of another format could end the process, or take gigabytes.

    Raises:
        DamagedImageError: it is no whole PNG, or one larger than a dataset's images.
    """
    encoded = memoryview(stored)
    begin, sides = bytes(encoded[:16]), bytes(encoded[16:24])
    width, height = int.from_bytes(sides[:4], "big"), int.from_bytes(sides[4:], "big")
    if begin != PNG_BEGIN or png_damage(encoded):
        raise DamagedImageError("damaged stored image: no whole PNG")
    if max(width, height) > LARGEST_IMAGE_SIZE:
        raise DamagedImageError(f"damaged stored image: a PNG of {width} × {height} pixels")
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise DamagedImageError("damaged stored image: no whole PNG")
    return np.asarray(image, np.uint8)
