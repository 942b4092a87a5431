"""Counts and pixel statistics of a dataset, for the manifest; tasks add up their images, the driver their sums."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from hvdcells.data.columns import NO_FOLD, SPLITS
from hvdcells.data.manifest import FoldSummary, ParquetFile, SplitSummary

MIXED = "mixed"
RGB = tuple[float, float, float]


class TallyKey(NamedTuple):
    """What images that are counted together have in common."""

    split: str
    class_name: str
    group: str
    subject: str
    """Empty, as the group, for an image without known subject that shares its pixels with no other."""
    fold: int
    kept: bool
    """They are in the dataset; otherwise they were dropped."""


class Tally(NamedTuple):
    """Images of one kind, and the sums of their pixels."""

    key: TallyKey
    images: int
    sums: tuple[int, ...]
    """Of R, G, B and of their squares."""


def tally(images: Iterable[tuple[TallyKey, int, Sequence[int]]]) -> list[Tally]:
    """Add up numbers of images and sums of pixels by key; one result per subject and split."""
    totals: dict[TallyKey, list[int]] = {}
    for key, num, sums in images:
        known = totals.get(key)
        totals[key] = [num, *sums] if known is None else [a + b for a, b in zip(known, (num, *sums), strict=True)]
    return [Tally(key, num, tuple(sums)) for key, (num, *sums) in sorted(totals.items())]


def split_summaries(
    tallied: Sequence[Tally],
    written: Sequence[tuple[str, ParquetFile]],
    class_names: Sequence[str],
    subjects_known: bool,
) -> dict[str, SplitSummary]:
    """Summarize each split; subjects are named only where the source names them."""
    return {
        split: _summary(
            [tally for tally in tallied if tally.key.kept and tally.key.split == split],
            tuple(sorted((file for name, file in written if name == split), key=lambda file: file.path)),
            class_names,
            subjects_known,
        )
        for split in SPLITS
    }


def fold_summaries(
    tallied: Sequence[Tally], class_names: Sequence[str], image_size: int, subjects_known: bool
) -> dict[str, FoldSummary]:
    """Summarize each fold of the training split."""
    train = [tally for tally in tallied if tally.key.kept and tally.key.split == "train"]
    summaries = {}
    for fold in sorted({tally.key.fold for tally in train}):
        members = [tally for tally in train if tally.key.fold == fold]
        mean, std = channel_moments(members, image_size)
        summaries[str(fold)] = FoldSummary(
            **image_counts(members, class_names, subjects_known), channel_mean=mean, channel_std=std
        )
    return summaries


def _summary(
    tallied: Sequence[Tally], parquet: tuple[ParquetFile, ...], class_names: Sequence[str], subjects_known: bool
) -> SplitSummary:
    return SplitSummary(
        **image_counts(tallied, class_names, subjects_known), images_per_fold=images_per_fold(tallied), files=parquet
    )


def images_per_fold(tallied: Sequence[Tally]) -> dict[str, int]:
    """Return the number of images of each fold."""
    per_fold: Counter[int] = Counter()
    for key, num, _ in tallied:
        if key.fold != NO_FOLD:
            per_fold[key.fold] += num
    return {str(fold): num for fold, num in sorted(per_fold.items())}


def image_counts(tallied: Sequence[Tally], class_names: Sequence[str], subjects_known: bool) -> dict[str, Any]:
    """Return the fields of `ImageCounts`; subjects are named where they are known."""
    per_class = Counter(dict.fromkeys(class_names, 0))
    per_subject: Counter[str] = Counter()
    class_of: dict[str, str] = {}
    for key, num, _ in tallied:
        per_class[key.class_name] += num
        if subjects_known:
            per_subject[key.subject] += num
            known = class_of.setdefault(key.subject, key.class_name)
            class_of[key.subject] = key.class_name if known == key.class_name else MIXED
    return {
        "images": per_class.total(),
        "images_per_class": dict(per_class),
        "images_per_subject": dict(sorted(per_subject.items())),
        "class_per_subject": dict(sorted(class_of.items())),
    }


def channel_moments(tallied: Sequence[Tally], image_size: int) -> tuple[RGB, RGB]:
    """Return mean and standard deviation of each RGB channel over the training images, in 0–255.

    They come from sums of whole numbers, so they do not depend on the order in which tasks added them up.
    """
    train = [tally for tally in tallied if tally.key.kept and tally.key.split == "train"]
    num_pixels = sum(tally.images for tally in train) * image_size**2
    red, green, blue, *squares = (sum(sums) / num_pixels for sums in zip(*(tally.sums for tally in train), strict=True))
    return (red, green, blue), (_std(red, squares[0]), _std(green, squares[1]), _std(blue, squares[2]))


def _std(mean: float, mean_square: float) -> float:
    return math.sqrt(max(0.0, mean_square - mean**2))
