"""Layouts of sources: how labels, subjects and official splits are found for the images of a folder or table."""

from collections.abc import Callable, Iterator, Mapping
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
    left_aside: Mapping[str, int] = field(default_factory=dict)
    """Images of the source that are no rows, by why they were left aside."""
    num_images_there: int | None = None
    """Images that lie in the source, where a table names those that are used."""
    other_files: Mapping[str, int] = field(default_factory=dict)
    """What else lies in the source, by what it is."""
