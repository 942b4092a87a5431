"""What leaks: images with the same pixels, images that look the same, subjects joined by them. For the manifest."""

from typing import TYPE_CHECKING

from hvdcells.manifest import LeakageReport

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

MOST_NAMED = 5000
"""Pairs named in the manifest; all are counted."""


def identical_pairs(images: "DataFrame") -> "DataFrame":
    """Return all pairs of images with the same pixels: `source_a` < `source_b`, and what is known of each.

    Args:
        images: `source`, `subject`, `split`, `fold`, `content_hash`.
    """
    from pyspark.sql import functions as f

    copied = images.groupBy("content_hash").agg(f.count("*").alias("copies")).where("copies > 1").drop("copies")
    columns = ("source", "subject", "split", "fold")
    several = images.select("content_hash", *columns).join(f.broadcast(copied), "content_hash")
    one, other = (
        several.select("content_hash", *(f.col(name).alias(f"{name}_{side}") for name in columns)) for side in "ab"
    )
    return one.join(other, "content_hash").where("source_a < source_b").drop("content_hash")


def report(placed: "DataFrame", near_pairs: "DataFrame", options_keep_leaks: bool) -> LeakageReport:
    """Collect the report.

    Args:
        placed: images with `source`, `subject`, `group`, `split`, `fold`, `content_hash`, `dropped`, `label`.
        near_pairs: `source_a`, `source_b` of near-duplicates.
        options_keep_leaks: leaks were found and kept, as asked.
    """
    from pyspark.sql import functions as f

    pairs = identical_pairs(placed).orderBy("source_a", "source_b").toPandas()
    near = near_pairs.orderBy("source_a", "source_b").toPandas()
    joined = placed.groupBy("group").agg(f.sort_array(f.collect_set("subject")).alias("subjects"))
    several = joined.where(f.size("subjects") > 1).orderBy("group").collect()
    dropped = placed.where("dropped != ''").select("source", "dropped").orderBy("source").collect()
    across = pairs[pairs["split_a"] != pairs["split_b"]]
    return LeakageReport(
        num_groups=joined.count(),
        groups_of_several_subjects=tuple(tuple(row.subjects) for row in several),
        identical_pairs=_named(pairs),
        num_identical_pairs=len(pairs),
        near_duplicate_pairs=_named(near),
        num_near_duplicate_pairs=len(near),
        across_splits=_named(across),
        dropped={row.source: row.dropped for row in dropped},
        warnings=tuple(_warnings(placed, len(across), options_keep_leaks)),
    )


def _named(pairs) -> tuple[tuple[str, str], ...]:  # noqa: ANN001
    first = pairs.head(MOST_NAMED)
    return tuple(zip(first["source_a"], first["source_b"], strict=True))


def _warnings(placed: "DataFrame", num_across: int, keep_leaks: bool) -> list[str]:
    from pyspark.sql import functions as f

    warnings = []
    if keep_leaks and num_across:
        warnings.append(f"{num_across} pairs of identical images are on two sides, kept as asked: scores will flatter")
    kept = placed.where("dropped = ''")
    sides = kept.groupBy("group").agg(
        f.sort_array(f.collect_set("split")).alias("splits"), f.sort_array(f.collect_set("subject")).alias("subjects")
    )
    for row in sides.where(f.size("splits") > 1).orderBy("group").collect():
        warnings.append(
            f"the subjects {', '.join(row.subjects)} share identical images, so they may be one person, and they "
            f"are in {' and '.join(row.splits)}; `--split grouped` keeps them together"
        )
    return warnings
