"""Images unlike those a model was validated on, in words: by their colours, and by what the last layer is given."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from hvdcells.images.decode import Pixels
from hvdcells.scores.image_range import ImageRange, colors_of

COLORS = "colours unlike those of the images it was validated on"
FEATURES = "unlike the images it was validated on, as the model sees it"


def warnings(known: ImageRange, image: Pixels, embedding: NDArray[np.float32] | None) -> list[str]:
    """Return what is unusual about an image.

    Args:
        known: of the images the model was validated on.
        image: as it is given to the model.
        embedding: (E,); None where the model tells none.
    """
    found = []
    if known.colors.ratio(colors_of(image[np.newaxis]))[0] > 1:
        found.append(COLORS)
    if known.features is not None and embedding is not None and known.features.ratio(embedding[np.newaxis])[0] > 1:
        found.append(FEATURES)
    return found


def known_range(noted: dict[str, Any] | None) -> ImageRange | None:
    """Return the range that an export notes; None where it notes none, or one that this version does not know."""
    try:
        return ImageRange.model_validate(noted) if noted else None
    except ValidationError:
        return None
