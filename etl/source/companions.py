"""Images that are no cells but belong to some: masks and label maps, and the small copies that systems keep.

A companion is told by its name, by an image that it goes with (the same stem in the same folder, or in the one beside
it), and by what it shows: few levels of grey or colour. A name alone makes none.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

import numpy as np
import xxhash

from hvdcells.images.decode import Samples, Unreadable, decode_samples

_WORDS = r"masks?|segs?|segmentations?|labels?|label[-_ ]?maps?|gts?|ground[-_ ]?truths?|annotations?"
_SUFFIX = re.compile(rf"(?<=[^\W_])[-_. ]+(?:{_WORDS})$", re.IGNORECASE)
_FOLDER = re.compile(rf"(?:.*[^a-z])?(?:{_WORDS})(?:[^a-z].*)?", re.IGNORECASE)
_FILLER = frozenset(("images", "image", "imgs", "img", "raw", "cells", "original", "originals", "pictures"))
_SYSTEM_FOLDERS = frozenset(
    (
        *("$recycle.bin", "system volume information", "recycler", "#recycle", "@recycle", "lost+found"),
        *("__macosx", "@eadir", "@tmp", "#snapshot", "thumbnails", "thumbs", "_thumbs"),
    )
)
_MOST_LEVELS = 12
_NOTED_SHARE = 0.002
"""Levels that fewer pixels have are noise of compression."""
_SAMPLE = 16
"""Companions of each kind that are looked at."""
_AGREEING_SHARE = 0.9


def system_folder(path: str) -> str | None:
    """Return the folder of a path that a system made, and not a person; None if there is none."""
    # Most paths hold none of the signs that all but two of these names have.
    return next((part for part in path.split("/")[:-1] if part.lower() in _SYSTEM_FOLDERS), None)


def companion_kind(path: str) -> str | None:
    """Return what makes an image look like a companion by its name, such as `masks/`; None if nothing does."""
    *folders, name = path.split("/")
    if told := _SUFFIX.search(name.rpartition(".")[0]):
        return f"*{told[0].lower()}.*"
    return next((f"{part}/" for part in folders if _FOLDER.fullmatch(part)), None)


def partner_key(path: str) -> int:
    """Return 64 bits that an image and its companions share."""
    *folders, name = path.split("/")
    plain = [part for part in folders if part.lower() not in _FILLER and not _FOLDER.fullmatch(part)]
    stem = _SUFFIX.sub("", name.rpartition(".")[0])
    return xxhash.xxh3_64_intdigest("/".join((*plain, stem)).encode("utf-8", "surrogatepass"))


def shows_few_levels(pixels: Samples) -> bool:
    """Whether an image of shape (height, width[, channels]) is made of a few plain levels."""
    flat = pixels.reshape(-1, pixels.shape[-1] if pixels.ndim == 3 else 1)
    _, counts = np.unique(flat, axis=0, return_counts=True)
    return int((counts > _NOTED_SHARE * len(flat)).sum()) <= _MOST_LEVELS and bool(
        counts[counts > _NOTED_SHARE * len(flat)].sum() > 0.9 * len(flat)
    )


def are_companions(paths: Sequence[str], read: Callable[[str], bytes | str]) -> bool:
    """Look at some of the images of one kind; whether nearly all of those that can be read show few levels."""
    step = max(1, len(paths) // _SAMPLE)
    return _share(shows_few_levels(image) for image in _decoded(paths[::step][:_SAMPLE], read)) >= _AGREEING_SHARE


def _decoded(paths: Iterable[str], read: Callable[[str], bytes | str]) -> Iterator[Samples]:
    for path in paths:
        content = read(path)
        if isinstance(content, bytes):
            with suppress(Unreadable):
                yield decode_samples(content)


def _share(verdicts: Iterable[bool]) -> float:
    told = list(verdicts)
    return sum(told) / len(told) if told else 0.0
