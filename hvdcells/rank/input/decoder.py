"""From the stored `image` column of a row group to one array of pixels. Plain numpy and OpenCV."""

from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hvdcells.data.columns import ImageEncoding
from hvdcells.data.stored_images import DamagedImageError, decode_png, decode_raw, numpy_header
from hvdcells.errors import UserError
from hvdcells.images.prepare import resize_stored
from hvdcells.rank.input.buffers import ArrayPool


class RowGroupDecoder:
    """Decodes the `image` column of row groups as the stock Petastorm codec of its encoding does.

    Args:
        image_size: side of the stored images, in pixels.
        encoding: `raw` or `png`.
        output_size: side of the images returned; other than `image_size`, they are resized.
        most_rows: images of the largest row group, up to which memory of row groups is used again.
    """

    def __init__(self, image_size: int, encoding: ImageEncoding, output_size: int, most_rows: int = 0) -> None:
        self.image_size = image_size
        self.encoding = encoding
        self.output_size = output_size
        self._arrays = ArrayPool((most_rows, output_size, output_size, 3), np.uint8)
        self._raw_header = numpy_header((image_size, image_size, 3))

    def decode(self, column: pa.ChunkedArray, where: str) -> NDArray[np.uint8]:
        """Return uint8 RGB of shape (n, output_size, output_size, 3); `where` is named in errors.

        Raises:
            UserError: a value is no image of the stored size and encoding.
        """
        return self.resize(self.decode_stored(column, where))

    def decode_stored(self, column: pa.ChunkedArray, where: str) -> NDArray[np.uint8]:
        """Return uint8 RGB of shape (n, image_size, image_size, 3), as `decode` does before it resizes."""
        return self._decode_raw(column, where) if self.encoding == "raw" else self._decode_png(column, where)

    def resize(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return stored images as `decode` returns them."""
        if self.output_size == self.image_size:
            return images
        resized = self._empty(len(images), self.output_size)
        for image, target in zip(images, resized, strict=True):
            resize_stored(image, self.output_size, target)
        return resized

    def _empty(self, count: int, size: int) -> NDArray[np.uint8]:
        if size == self.output_size and count <= self._arrays.shape[0]:
            return self._arrays.take()[:count]
        return np.empty((count, size, size, 3), np.uint8)

    def _decode_raw(self, column: pa.ChunkedArray, where: str) -> NDArray[np.uint8]:
        shape = (self.image_size, self.image_size, 3)
        # A column of values of one length is a matrix already: no copy and no Python per image.
        values = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        header, length = self._raw_header, len(self._raw_header) + int(np.prod(shape))
        _, offsets, data = values.buffers()
        offsets = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
        if np.all(np.diff(offsets) == length) and not values.null_count:
            rows = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]].reshape(len(values), length)
            if np.all(rows[:, : len(header)] == np.frombuffer(header, np.uint8)):
                return rows[:, len(header) :].reshape(len(values), *shape)
        # Another numpy may have written another header with the same meaning.
        return np.stack(list(self._each(values, decode_raw, where)))

    def _decode_png(self, column: pa.ChunkedArray, where: str) -> NDArray[np.uint8]:
        images = self._empty(len(column), self.image_size)
        for image, target in zip(self._each(column, decode_png, where), images, strict=True):
            cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=target)
        return images

    def _each(
        self, values: Iterable[pa.BinaryScalar], decode: Callable[[pa.Buffer | bytes], NDArray[np.uint8]], where: str
    ) -> Iterator[NDArray[np.uint8]]:
        shape = (self.image_size, self.image_size, 3)
        for value in values:
            try:
                image = decode(value.as_buffer() or b"")
                right = image.shape == shape and image.dtype == np.uint8
                found = "" if right else f"{image.dtype} of shape {image.shape}"
            except DamagedImageError as error:
                found = f"no image ({error})"
            if found:
                raise UserError(
                    f"{where} holds {found}",
                    f"uint8 images of shape {shape}, as the manifest says",
                    "the dataset is damaged: run `hvdcells check DATASET`, then write it again with `hvdcells etl`",
                )
            yield image
