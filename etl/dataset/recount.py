"""What a manifest says of its images, counted anew from the rows of the dataset."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from etl.shards.counts import Tally, TallyKey, channel_moments, image_counts, images_per_fold
from hvdcells import storage
from hvdcells.data.columns import NO_FOLD
from hvdcells.data.manifest import ImageCounts, Manifest

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

TOLERANCE = 1e-9
"""Of the channels' moments: both are made of the same sums of whole numbers."""


def tallies(rows: "DataFrame", subjects_known: bool) -> list[Tally]:
    """Add up images and pixels of the facts of readable rows, as the ETL stage does while it writes them."""
    from pyspark.sql import functions as f

    nothing = f.lit("")
    subject = f.col("subject") if subjects_known else nothing
    keys = ("split", "class_name", "group", "subject", "fold")
    rows = rows.withColumns({"subject": subject, "group": nothing})
    sums = [f.sum(f.col("sums")[number]).alias(f"sum{number}") for number in range(6)]
    found = rows.groupBy(*keys).agg(f.count("*").alias("images"), *sums).collect()
    return [
        Tally(
            TallyKey(row["split"], row["class_name"], row["group"], row["subject"], row["fold"], kept=True),
            row["images"],
            tuple(row[f"sum{number}"] for number in range(6)),
        )
        for row in found
    ]


def differences(tallied: Sequence[Tally], manifest: Manifest) -> list[str]:
    """Return in words what the manifest says otherwise than the images do."""
    known, kept = manifest.subjects_known, [tally.key for tally in tallied]
    wrong: list[str] = []
    for name, split in manifest.splits.items():
        of_split = [tally for tally in tallied if tally.key.split == name]
        wrong += _of_counts(name, image_counts(of_split, manifest.class_names, known), split)
        wrong += _of_numbers(f"{name}, fold", images_per_fold(of_split), split.images_per_fold)
    folds = {str(key.fold) for key in kept if key.split == "train" and key.fold != NO_FOLD}
    if manifest.folds and folds != manifest.folds.keys():
        wrong.append(f"folds {', '.join(sorted(folds))}, the manifest says {', '.join(sorted(manifest.folds))}")
    for name, said in manifest.folds.items():
        of_fold = [tally for tally in tallied if tally.key.split == "train" and str(tally.key.fold) == name]
        wrong += _of_counts(f"fold {name}", image_counts(of_fold, manifest.class_names, known), said)
    return wrong


def moment_differences(tallied: Sequence[Tally], manifest: Manifest) -> list[str]:
    """Return in words what the manifest says otherwise of the channels than the pixels do."""
    train = [tally for tally in tallied if tally.key.split == "train"]
    described = [("train", train, manifest.channel_mean, manifest.channel_std)]
    for name, fold in manifest.folds.items():
        members = [tally for tally in train if str(tally.key.fold) == name]
        described.append((f"fold {name}", members, fold.channel_mean, fold.channel_std))
    return [
        difference
        for name, members, mean, std in described
        if members
        for difference in _of_moments(name, channel_moments(members, manifest.image_size), (mean, std))
    ]


def size_difference(dataset: str, manifest: Manifest) -> str:
    """Return in words how the size of the Parquet files differs from what the manifest says; nothing if it does not."""
    paths = (file.path for split in manifest.splits.values() for file in split.files)
    found = sum(storage.size_bytes(storage.join(dataset, path)) or 0 for path in paths)
    return "" if found == manifest.size_bytes else f"{found:,} bytes, the manifest says {manifest.size_bytes:,}"


def _of_counts(name: str, found: Mapping[str, Any], said: ImageCounts) -> list[str]:
    wrong = _of_numbers(name, found["images_per_class"], said.images_per_class)
    wrong += _of_numbers(name, found["images_per_subject"], said.images_per_subject)
    differing = sorted(set(found["class_per_subject"].items()) - set(said.class_per_subject.items()))
    return wrong + [f"{name}, {subject}: of class {class_name}" for subject, class_name in differing]


def _of_numbers(name: str, found: dict[str, int], said: dict[str, int]) -> list[str]:
    counted, expected = Counter(found), Counter(said)
    return [
        f"{name}, {key}: {counted[key]} images, the manifest says {expected[key]}"
        for key in sorted(counted.keys() | expected.keys())
        if counted[key] != expected[key]
    ]


def _of_moments(name: str, found: Sequence[Iterable[float]], said: Sequence[Iterable[float]]) -> list[str]:
    return [
        f"{name}: {what} of {channel} {value:.6g}, the manifest says {told:.6g}"
        for what, values, tolds in zip(("mean", "deviation"), found, said, strict=True)
        for channel, value, told in zip("RGB", values, tolds, strict=True)
        if not math.isclose(value, told, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    ]
