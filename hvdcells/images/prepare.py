"""From the pixels of a file to the square a model is given: the steps of the ETL and of the ranks' reader, in order.

Who trains and who predicts call the same functions, so an image predicted from its file is the image trained on, bit by
bit. `ImagePreparation` is what a run directory keeps of them.
"""

from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from hvdcells.images.decode import WHOLE_SAMPLE_BITS, Pixels, decode_bgr
from hvdcells.images.formats import MOST_PIXELS


class ImagePreparation(BaseModel):
    """All that is done to an image between its file and the model. Lossless encodings in between change nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop: Annotated[int, Field(ge=0, le=65536)]
    """Side of the centre square that the ETL cuts out first, in pixels; 0 for the largest."""
    image_size: Annotated[int, Field(gt=0, le=4096)]
    """Side of the squares that the dataset stores, in pixels."""
    input_size: Annotated[int, Field(gt=0, le=4096)]
    """Side of the images that the model takes, in pixels."""
    sample_bits: Annotated[int, Field(ge=8, le=16)] = WHOLE_SAMPLE_BITS
    """Used of the values of 16-bit files: what the ETL found in all of its source."""

    def of_content(self, content: bytes, most_pixels: int = MOST_PIXELS) -> Pixels:
        """Prepare a file: RGB uint8 of shape (input_size, input_size, 3).

        Args:
            content: of the file.
            most_pixels: width × height of the largest image that is decoded.

        Raises:
            Unreadable: the bytes are no whole image that can be brought to RGB uint8.
        """
        return self._of_bgr(decode_bgr(content, most_pixels, sample_bits=self.sample_bits))

    def of_pixels(self, pixels: NDArray[np.uint8]) -> Pixels:
        """Prepare decoded pixels, RGB uint8 of shape (height, width, 3), as `of_content` does those of a file."""
        return self._of_bgr(np.ascontiguousarray(pixels[..., ::-1]))

    def _of_bgr(self, pixels: Pixels) -> Pixels:
        stored = cv2.cvtColor(square_of(pixels, self.image_size, self.crop), cv2.COLOR_BGR2RGB)
        return resize_stored(np.asarray(stored, np.uint8), self.input_size)


def square_of(pixels: Pixels, image_size: int, crop: int) -> Pixels:
    """Return what the dataset stores of an image: its centre square, of shape (image_size, image_size, 3).

    Args:
        pixels: uint8 of shape (height, width, 3), in any order of channels.
        image_size: side of the result, in pixels.
        crop: side of the centre square, in pixels; 0 for the largest.
    """
    return resize(centre_square(pixels, crop), image_size)


def centre_square(pixels: Pixels, crop: int) -> Pixels:
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


def resize(square: Pixels, image_size: int) -> Pixels:
    """Resize a square to (image_size, image_size, 3): by area when it shrinks, by cubic interpolation when it grows."""
    if square.shape[0] == image_size:
        return np.ascontiguousarray(square)
    method = cv2.INTER_AREA if square.shape[0] > image_size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(square, (image_size, image_size), interpolation=method), np.uint8)


def resize_stored(image: Pixels, input_size: int, target: Pixels | None = None) -> Pixels:
    """Resize a stored square to what the model takes: by area when it shrinks, linearly when it grows.

    Args:
        image: of shape (image_size, image_size, 3).
        input_size: side of the result, in pixels.
        target: of shape (input_size, input_size, 3), written to and returned.
    """
    if target is None and image.shape[0] == input_size:
        return image
    method = cv2.INTER_AREA if image.shape[0] > input_size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (input_size, input_size), dst=target, interpolation=method), np.uint8)


def use_one_thread() -> None:
    """Keep OpenCV to the thread it is called on, where tasks or reader threads use all cores already."""
    cv2.setNumThreads(0)
