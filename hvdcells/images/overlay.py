"""Heat maps laid over images, side by side with them."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from hvdcells.images.decode import Pixels

MOST_OPAQUE = 0.6
GAP_PIXELS = 3


def overlay(image: Pixels, heat: NDArray[np.float32]) -> Pixels:
    """Lay a map (size, size) from 0 to 1 over an image: where it is 0 the image stays as it is, where it is 1 red."""
    colors = cv2.applyColorMap((heat * 255).round().astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    opacity = MOST_OPAQUE * heat[..., None]
    return np.asarray((image * (1 - opacity) + colors * opacity).round(), np.uint8)


def strip(image: Pixels, maps: Sequence[NDArray[np.float32]], side: int) -> Pixels:
    """Return an image and its overlays side by side, each of `side` pixels: RGB uint8 (side, width, 3)."""
    small = np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    gap = np.full((side, GAP_PIXELS, 3), 255, np.uint8)
    heats = [np.asarray(cv2.resize(heat, (side, side)), np.float32) for heat in maps]
    panels = [small, *(overlay(small, heat) for heat in heats)]
    return np.concatenate([part for panel in panels for part in (panel, gap)][:-1], axis=1)


def encoded(pixels: Pixels, suffix: str) -> bytes:
    """Return RGB pixels as a file: `.png`, or `.jpg` of quality 85."""
    _, content = cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return content.tobytes()
