"""Images as the dataset stores them, as Petastorm's stock codecs do: `raw` is numpy's own format, `png` is PNG."""

import io
import warnings

import cv2
import numpy as np
import pyarrow as pa

from hvdcells.data.columns import ImageEncoding


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

    def add(self, square: np.ndarray) -> None:
        """Add an image: uint8 of shape (image_size, image_size, 3), BGR."""
        if self._encoded is not None:
            self._encoded.append(cv2.imencode(".png", square)[1].tobytes())
        else:
            cv2.cvtColor(square, cv2.COLOR_BGR2RGB, dst=self._pixels[self._num_images])
        self._num_images += 1

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


def encode(square: np.ndarray, encoding: ImageEncoding) -> bytes:
    """Return one RGB image of shape (size, size, 3) as it is stored."""
    column = ImageColumn(1, square.shape[0], encoding)
    column.add(cv2.cvtColor(square, cv2.COLOR_RGB2BGR))
    return column.take()[0].as_py()


def decode_stored(stored: bytes, encoding: ImageEncoding) -> np.ndarray:
    """Decode what `ImageColumn` made, to RGB uint8.

    Raises:
        DamagedImageError: it is not what `ImageColumn` made.
    """
    if encoding == "png":
        # OpenCV fills the missing part of a file that is cut short, and says nothing.
        image = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_COLOR) if b"IEND" in stored[-16:] else None
        if image is None:
            raise DamagedImageError("damaged stored image: no whole PNG")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return np.load(io.BytesIO(stored), allow_pickle=False)
    except Exception as error:
        raise DamagedImageError(f"damaged stored image: {error}") from None
