"""What is to be known of an image that decodes: it shows nothing, was turned, or is not all that its file holds."""

import numpy as np

from hvdcells.images.decode import Samples
from hvdcells.images.formats import format_of
from hvdcells.images.orientation import orientation_of
from hvdcells.images.tiff import num_pages

FEW_LEVELS = 8
ONE_VALUE = "one value in all of its pixels"
HAS_FEW_LEVELS = f"fewer than {FEW_LEVELS} levels in each channel, as a mask or a label map"
TURNED = "turned as its EXIF orientation says"
CONSTANT_END = "one value in its first or last rows, over two fifths of the image: perhaps cut short and filled up"
_END_SHARE = 0.4
_SAMPLE_STEP = 32


def marks_of(content: bytes, samples: Samples) -> tuple[str, ...]:
    """Return what is to be known of an image.

    Args:
        content: of its file.
        samples: its decoded values.
    """
    marks = [mark] if (mark := _of_values(samples)) else []
    found = format_of(content)
    if found and orientation_of(content, found.name) != 1:
        marks.append(TURNED)
    if found and found.name == "TIFF" and (pages := num_pages(content)) > 1:
        marks.append(f"the first of {pages} pages; the others are not used")
    return tuple(marks)


def _of_values(samples: Samples) -> str:
    # Some pixels are enough to see that an image is none of these, as nearly all are.
    sample = samples[::_SAMPLE_STEP, ::_SAMPLE_STEP]
    if _has_few_levels(sample) and _has_few_levels(samples):
        return ONE_VALUE if _is_constant(samples) else HAS_FEW_LEVELS
    for image in (sample, samples):
        num_rows = max(1, int(_END_SHARE * len(image)))
        if not (_is_constant(image[:num_rows]) or _is_constant(image[-num_rows:])):
            return ""
    return CONSTANT_END


def _is_constant(samples: Samples) -> bool:
    return bool((samples == samples[:1, :1]).all())


def _has_few_levels(samples: Samples) -> bool:
    planes = samples.reshape(*samples.shape[:2], -1)
    return all(
        np.count_nonzero(np.bincount(planes[..., channel].ravel())) < FEW_LEVELS for channel in range(planes.shape[2])
    )
