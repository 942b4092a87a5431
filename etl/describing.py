"""Counts and pixel statistics of a dataset, for the manifest: one pass over metadata in Spark, no pixels."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hvdcells.manifest import FoldSummary, ParquetFile, SplitSummary
from hvdcells.schema import NO_FOLD, SPLITS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_SUMS = tuple(f"{kind}_{channel}" for kind in ("sum", "square_sum") for channel in "rgb")
MIXED = "mixed"


@dataclass(frozen=True)
class Tally:
    """Images of one split, class, subject and fold, and the sums of their pixels."""

    split: str
    class_name: str
    group: str
    subject: str
    """Empty for an image without known subject that shares its pixels with no other."""
    fold: int
    kept: bool
    """They are in the dataset; otherwise they were dropped."""
    images: int
    sums: tuple[int, ...]
    square_sums: tuple[int, ...]


def tallies(placed: "DataFrame", subjects_known: bool) -> list[Tally]:
    """Count the images by split, class, subject and fold.

    The driver gets one row per subject and split. Where subjects are unknown, only images that share their pixels are
    told apart.
    """
    from pyspark.sql import functions as f

    if not subjects_known:
        alone = f.count("*").over(_window("group")) == 1
        placed = placed.withColumn("alone", alone)
        for column in ("group", "subject"):
            placed = placed.withColumn(column, f.when(f.col("alone"), "").otherwise(f.col(column)))
    keys = ("split", "class_name", "group", "subject", "fold", "kept")
    totals = [f.sum(name).alias(name) for name in _SUMS]
    rows = placed.withColumn("kept", f.col("dropped") == "").groupBy(*keys).agg(f.count("*").alias("images"), *totals)
    return sorted(
        (
            Tally(*(row[key] for key in keys), row.images, *_halves([row[name] for name in _SUMS]))
            for row in rows.collect()
        ),
        key=lambda tally: (tally.split, tally.class_name, tally.subject, tally.fold, tally.kept),
    )


def _window(column: str):
    from pyspark.sql import Window

    return Window.partitionBy(column)


def _halves(values: list[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return tuple(values[:3]), tuple(values[3:])


def images_per_split(tallied: Sequence[Tally]) -> dict[str, int]:
    """Return the images of each split that are in the dataset."""
    return {name: sum(tally.images for tally in tallied if tally.kept and tally.split == name) for name in SPLITS}


def summaries(
    tallied: Sequence[Tally], written: Sequence[tuple[str, ParquetFile]], class_names: Sequence[str]
) -> dict[str, SplitSummary]:
    """Summarize each split."""
    return {
        split: _summary(
            [tally for tally in tallied if tally.kept and tally.split == split],
            tuple(sorted((file for name, file in written if name == split), key=lambda file: file.path)),
            class_names,
        )
        for split in SPLITS
    }


def fold_summaries(tallied: Sequence[Tally], class_names: Sequence[str], image_size: int) -> dict[str, FoldSummary]:
    """Summarize each fold of the training split."""
    train = [tally for tally in tallied if tally.kept and tally.split == "train"]
    summaries = {}
    for fold in sorted({tally.fold for tally in train}):
        members = [tally for tally in train if tally.fold == fold]
        mean, std = channel_moments(members, image_size)
        summaries[str(fold)] = FoldSummary(**_counts(members, class_names), channel_mean=mean, channel_std=std)
    return summaries


def _summary(tallied: Sequence[Tally], parquet: tuple[ParquetFile, ...], class_names: Sequence[str]) -> SplitSummary:
    per_fold = Counter()
    for tally in tallied:
        if tally.fold != NO_FOLD:
            per_fold[tally.fold] += tally.images
    return SplitSummary(
        **_counts(tallied, class_names),
        images_per_fold={str(fold): num for fold, num in sorted(per_fold.items())},
        files=parquet,
    )


def _counts(tallied: Sequence[Tally], class_names: Sequence[str]) -> dict[str, Any]:
    """Return the fields of `ImageCounts`."""
    per_class, per_subject = Counter(dict.fromkeys(class_names, 0)), Counter()
    class_of: dict[str, str] = {}
    for tally in tallied:
        per_class[tally.class_name] += tally.images
        if tally.subject:
            per_subject[tally.subject] += tally.images
            known = class_of.setdefault(tally.subject, tally.class_name)
            class_of[tally.subject] = tally.class_name if known == tally.class_name else MIXED
    return {
        "images": per_class.total(),
        "images_per_class": dict(per_class),
        "images_per_subject": dict(sorted(per_subject.items())),
        "class_per_subject": dict(sorted(class_of.items())),
    }


def channel_moments(tallied: Sequence[Tally], image_size: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each RGB channel over the training images, in 0–255.

    They come from sums of whole numbers, so they do not depend on the order in which Spark added them up.
    """
    train = [tally for tally in tallied if tally.kept and tally.split == "train"]
    num_pixels = sum(tally.images for tally in train) * image_size**2
    mean, std = [], []
    for channel in range(3):
        first = sum(tally.sums[channel] for tally in train) / num_pixels
        second = sum(tally.square_sums[channel] for tally in train) / num_pixels
        mean.append(first)
        std.append(math.sqrt(max(0.0, second - first**2)))
    return tuple(mean), tuple(std)
