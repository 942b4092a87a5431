"""Where a model looks, without looking into it: parts of the image are covered, one after the other.

Zeiler and Fergus 2014, arXiv 1311.2901, section 2.3.
"""

import asyncio
import base64
from collections.abc import Iterator
from functools import partial
from typing import Any

import cv2
import numpy as np

from hvdcells.images.decode import Pixels
from hvdcells.serving.pool import Pool, Predicted

GRID = 8
"""Rows and columns of the map."""
COVER = 2
"""Side of what is covered, in cells of the grid: neighbours overlap."""


async def heat_map(pool: Pool, predicted: Predicted) -> dict[str, Any]:
    """Return how much the probability of the called class falls when a place is covered with the image's mean colour.

    Returns:
        `drops`: GRID rows of GRID numbers, the means over all covers of a place; `image`: the square that the model was
        given, as PNG in base64.

    Raises:
        BusyError: too many images wait.
    """
    label = int(predicted.probabilities.argmax())
    covers = list(_covers(predicted.image.shape[0]))
    covered = await asyncio.gather(*pool.submit([partial(_covered, predicted.image, cover) for cover in covers]))
    drops, counts = np.zeros((GRID, GRID)), np.zeros((GRID, GRID))
    places = ((row, column) for row in range(1 - COVER, GRID) for column in range(1 - COVER, GRID))
    for (row, column), found in zip(places, covered, strict=True):
        place = slice(max(0, row), row + COVER), slice(max(0, column), column + COVER)
        drops[place] += predicted.probabilities[label] - found.probabilities[label]
        counts[place] += 1
    _, png = cv2.imencode(".png", cv2.cvtColor(predicted.image, cv2.COLOR_RGB2BGR))
    return {"drops": (drops / counts).tolist(), "image": base64.b64encode(png.tobytes()).decode()}


def _covers(side: int) -> Iterator[tuple[slice, slice]]:
    edges = np.linspace(0, side, GRID + 1).round().astype(int)
    for row in range(1 - COVER, GRID):
        for column in range(1 - COVER, GRID):
            yield tuple(  # type: ignore[misc]
                slice(edges[max(0, at)], edges[min(GRID, at + COVER)]) for at in (row, column)
            )


def _covered(image: Pixels, cover: tuple[slice, slice]) -> Pixels:
    hidden = image.copy()
    hidden[cover] = image.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    return hidden
