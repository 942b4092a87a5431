"""Deciding the split and fold of every image, or that it is left out. DataFrame → DataFrame.

In: `images` with `source`, `subject`, `group`, `label`, `content_hash`, `official_split`, `fold`.
Out: the same with `split` and `dropped` (the reason, or empty) added and, for k-fold, a new `fold`.
"""

from typing import TYPE_CHECKING

import numpy as np
import xxhash

from etl.options import EtlOptions
from etl.splits import assign_groups
from hvdcells.errors import UserError
from hvdcells.schema import NO_FOLD, SPLITS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


def place(
    images: "DataFrame", options: EtlOptions, class_names: tuple[str, ...], has_validation: bool = True
) -> "DataFrame":
    """Place the images as `options.split` says.

    Args:
        images: see above.
        options: the strategy and its numbers.
        class_names: by label.
        has_validation: the source brings validation images. Where it does not, `official` takes whole leakage groups
            of the training side for it.

    Raises:
        UserError: there are fewer leakage groups of a class than the split needs.
    """
    if options.split == "official":
        sided = drop_leaks(images.withColumn("split", images.official_split), options.keep_leaks)
        return sided if has_validation else _with_validation(sided, options, class_names)
    if options.split == "grouped":
        return _grouped(images, options, class_names)
    return _folded(images, options, class_names)


def drop_leaks(images: "DataFrame", keep_leaks: bool = False) -> "DataFrame":
    """Add `dropped`: an image is left out where its subject or its very pixels are also on a side that judges.

    The copy on the side that is trained on goes: train gives way to validation, and both to test.
    """
    from pyspark.sql import functions as f

    if keep_leaks:
        return images.withColumn("dropped", f.lit(""))
    rank = _rank("split")
    by_subject = images.groupBy("subject").agg(f.max(rank).alias("subject_rank"))
    ranked = images.join(by_subject, "subject").withColumn("rank", rank)
    kept = ranked.where(f.col("rank") == f.col("subject_rank"))
    by_pixels = kept.groupBy("content_hash").agg(f.max("rank").alias("pixels_rank"), f.count("*").alias("copies"))
    by_pixels = by_pixels.where("copies > 1").drop("copies")
    reason = (
        f.when(
            f.col("rank") < f.col("subject_rank"),
            f.concat(f.lit("its subject is also in "), _split_of_rank("subject_rank")),
        )
        .when(
            f.col("rank") < f.col("pixels_rank"),
            f.concat(f.lit("the same pixels are also in "), _split_of_rank("pixels_rank")),
        )
        .otherwise(f.lit(""))
    )
    placed = ranked.join(by_pixels, "content_hash", "left").withColumn("dropped", reason)
    return placed.drop("rank", "subject_rank", "pixels_rank")


def _rank(column: str) -> "Column":
    from pyspark.sql import functions as f

    return sum((f.when(f.col(column) == name, rank).otherwise(0) for rank, name in enumerate(SPLITS)), f.lit(0))


def _split_of_rank(column: str) -> "Column":
    from pyspark.sql import functions as f

    return f.element_at(f.array(*map(f.lit, SPLITS)), f.col(column).cast("int") + 1)


def _with_validation(sided: "DataFrame", options: EtlOptions, class_names: tuple[str, ...]) -> "DataFrame":
    from pyspark.sql import functions as f

    train, validation, _ = options.proportions
    shares = np.array([train, validation]) / (train + validation)
    in_train = (f.col("split") == "train") & (f.col("dropped") == "")
    parts = _assign(sided.where(in_train), shares, options.seed, class_names, "split")
    moved = sided.join(parts, "group", "left")
    return moved.withColumn(
        "split", f.when(in_train & (f.col("part") == 1), "validation").otherwise(f.col("split"))
    ).drop("part")


def _grouped(images: "DataFrame", options: EtlOptions, class_names: tuple[str, ...]) -> "DataFrame":
    from pyspark.sql import functions as f

    parts = _assign(images, np.array(options.proportions), options.seed, class_names, "split")
    split = f.element_at(f.array(*map(f.lit, SPLITS)), f.col("part") + 1)
    return images.join(parts, "group").withColumn("split", split).drop("part").withColumn("dropped", f.lit(""))


def _folded(images: "DataFrame", options: EtlOptions, class_names: tuple[str, ...]) -> "DataFrame":
    from pyspark.sql import functions as f

    split = f.when(f.col("official_split") == "test", "test").otherwise("train")
    sided = drop_leaks(images.withColumn("split", split), options.keep_leaks)
    shares = np.full(options.num_folds, 1 / options.num_folds)
    trained = sided.where("split = 'train' and dropped = ''")
    parts = _assign(trained, shares, options.seed, class_names, "fold")
    fold = f.when((f.col("split") == "train") & (f.col("dropped") == ""), f.col("part")).otherwise(NO_FOLD)
    return sided.join(parts, "group", "left").withColumn("fold", fold).drop("part")


def _assign(
    images: "DataFrame", proportions: np.ndarray, seed: int, class_names: tuple[str, ...], what: str
) -> "DataFrame":
    """Return `group`, `part`. The driver holds one row per leakage group while it decides."""
    from pyspark.sql import functions as f

    per_class = [f.sum((f.col("label") == label).cast("int")).alias(f"c{label}") for label in range(len(class_names))]
    table = images.groupBy("group").agg(*per_class).toPandas().sort_values("group", ignore_index=True)
    counts = table.drop(columns="group").to_numpy()
    groups_per_class = (counts > 0).sum(axis=0)
    num_parts = int((proportions > 0).sum())
    for name, groups in zip(class_names, groups_per_class, strict=True):
        if groups < num_parts:
            raise UserError(
                f"the class {name!r} has {groups} leakage groups (subjects joined by shared pixels)",
                f"at least {num_parts}, one for each {what}",
                "add subjects, or ask for fewer parts (--proportions with a share of 0, or fewer --num-folds)",
            )
    order = np.array(
        [xxhash.xxh3_64_intdigest(name.encode(), seed=seed & (2**64 - 1)) for name in table["group"]], object
    )
    table["part"] = assign_groups(counts, proportions, order)
    return f.broadcast(images.sparkSession.createDataFrame(table[["group", "part"]], "`group` string, part int"))
