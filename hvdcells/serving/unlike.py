"""Images unlike those a model was trained on: told by their colours, and by what the last layer is given of them."""

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hvdcells.images.decode import Pixels

COLOURS = "colours unlike those of the images it was trained on"
SHAPES = "unlike the images it was trained on, as the model sees it"


class Range(BaseModel):
    """Bounds that the validation images keep, all but one in a hundred."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    colour_low: Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]
    """Least means of red, green and blue, 0–255."""
    colour_high: Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]
    embedding_mean: tuple[float, ...] | None = None
    embedding_distance: float | None = None
    """The largest Euclidean distance from the mean."""

    def warnings(self, image: Pixels, embedding: NDArray[np.float32] | None) -> list[str]:
        """Return what is unusual about an image, in words.

        Args:
            image: as it is given to the model.
            embedding: (E,); None where the model tells none.
        """
        colour = image.reshape(-1, 3).mean(axis=0)
        found = []
        if (colour < self.colour_low).any() or (colour > self.colour_high).any():
            found.append(COLOURS)
        if embedding is None or self.embedding_mean is None or self.embedding_distance is None:
            return found
        if np.linalg.norm(embedding - np.asarray(self.embedding_mean)) > self.embedding_distance:
            found.append(SHAPES)
        return found


def known_range(noted: dict[str, Any] | None) -> Range | None:
    """Return the range that an export notes; None where it notes none, or one that this version does not know."""
    try:
        return Range.model_validate(noted) if noted else None
    except ValidationError:
        return None
