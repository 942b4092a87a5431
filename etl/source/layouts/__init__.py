"""Layouts of sources: how labels, subjects and official splits are found for the images of a folder or table."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from etl.source.rows import ImageRow


@dataclass(frozen=True)
class Layout:
    """A source understood: the rows of its images, and what must be said about it."""

    name: str
    base: str
    """Location that the paths of the rows are below."""
    class_names: tuple[str, ...]
    """By label."""
    positive_classes: tuple[str, ...]
    """Those that count as ill."""
    rows: Callable[[], Iterator[ImageRow]]
    """Yields the images in an order that depends on the source alone."""
    has_official_split: bool
    subjects_known: bool
    default_crop: int
    notes: tuple[str, ...] = field(default=())
