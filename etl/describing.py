"""Counts and pixel statistics of a dataset, for the manifest: one pass over metadata in Spark, no pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hvdcells.manifest import ParquetFile, SplitSummary
from hvdcells.schema import NO_FOLD, SPLITS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row

_SUMS = tuple(f"{kind}_{channel}" for kind in ("sum", "square_sum") for channel in "rgb")
MIXED = "mixed"


@dataclass(frozen=True)
class Tally:
    """Images of one split, subject, class and fold, and the sums of their pixels."""

    split: str
    class_name: str
    subject: str
    fold: int
    images: int
    sums: tuple[int, ...]
    square_sums: tuple[int, ...]


def tallies(placed: "DataFrame", subjects_known: bool) -> list[Tally]:
    """Count the images that stay, by split, class, subject and fold. Without known subjects they are not told apart."""
    from pyspark.sql import functions as f

    subject = f.col("subject") if subjects_known else f.lit("")
    kept = placed.where("dropped = ''").withColumn("subject", subject)
    totals = [f.sum(name).alias(name) for name in _SUMS]
    keys = ("split", "class_name", "subject", "fold")
    rows = kept.groupBy(*keys).agg(f.count("*").alias("images"), *totals).orderBy(*keys).collect()
    return [_tally(row) for row in rows]


def _tally(row: "Row") -> Tally:
    sums = tuple(row[name] for name in _SUMS)
    return Tally(row.split, row.class_name, row.subject, row.fold, row.images, sums[:3], sums[3:])


def summaries(
    tallied: Sequence[Tally], written: Sequence[tuple[str, ParquetFile]], class_names: Sequence[str]
) -> dict[str, SplitSummary]:
    """Summarize each split."""
    return {
        split: _summary(
            [tally for tally in tallied if tally.split == split],
            tuple(sorted((file for name, file in written if name == split), key=lambda file: file.path)),
            class_names,
        )
        for split in SPLITS
    }


def _summary(tallied: Sequence[Tally], parquet: tuple[ParquetFile, ...], class_names: Sequence[str]) -> SplitSummary:
    per_class = dict.fromkeys(class_names, 0)
    per_subject: dict[str, int] = {}
    class_of: dict[str, str] = {}
    per_fold: dict[str, int] = {}
    for tally in tallied:
        per_class[tally.class_name] += tally.images
        if tally.subject:
            per_subject[tally.subject] = per_subject.get(tally.subject, 0) + tally.images
            known = class_of.setdefault(tally.subject, tally.class_name)
            class_of[tally.subject] = tally.class_name if known == tally.class_name else MIXED
        if tally.fold != NO_FOLD:
            per_fold[str(tally.fold)] = per_fold.get(str(tally.fold), 0) + tally.images
    return SplitSummary(
        images=sum(per_class.values()),
        images_per_class=per_class,
        images_per_subject=per_subject,
        class_per_subject=class_of,
        images_per_fold=dict(sorted(per_fold.items())),
        files=parquet,
    )
