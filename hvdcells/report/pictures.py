"""From a matplotlib figure to a picture inside a page, with the words that stand for it."""

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A figure of the page, or the reason why there is none."""

    title: str
    alt: str
    """What it shows, in words, for readers who cannot see it."""
    source: str | None
    """Data URI of an SVG image; None where the figure is not defined."""
    is_wide: bool = False
    """It shows so much that it takes the whole width of the page."""


def picture(title: str, alt: str, figure: "Figure | None", is_wide: bool = False) -> Picture:
    """Return the picture of a figure; text is drawn as shapes, so that it looks the same everywhere."""
    if figure is None:
        return Picture(title, alt, None)
    svg = io.BytesIO()
    # No date inside: the same run gives the same report.
    figure.savefig(svg, format="svg", metadata={"Date": None})
    return Picture(title, alt, "data:image/svg+xml;base64," + base64.b64encode(svg.getvalue()).decode("ascii"), is_wide)
