"""Leakage groups: subjects joined, over any number of steps, by images with the same pixels.

DataFrame → DataFrame; nothing here has looked at an image.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_MOST_SHARING = 1000


def identical_edges(images: "DataFrame") -> "DataFrame":
    """Return pairs of subjects (`a` < `b`) who have an image with the same pixels.

    Args:
        images: `subject`, `content_hash`.
    """
    from pyspark.sql import functions as f

    owners = images.groupBy("content_hash").agg(f.sort_array(f.collect_set("subject")).alias("subjects"))
    # A star per hash, from its first subject: enough to connect them, and linear in the number of subjects.
    others = f.explode(f.slice("subjects", 2, f.size("subjects"))).alias("b")
    return owners.where(f.size("subjects") > 1).select(f.col("subjects")[0].alias("a"), others).distinct()


def with_groups(images: "DataFrame", near_pairs: "DataFrame | None" = None) -> "DataFrame":
    """Add `group` to the images: the first of all subjects that are joined to the image's own.

    Args:
        images: `subject`, `content_hash`, `source`.
        near_pairs: `subject_a`, `subject_b` of near-duplicates that join subjects too.
    """
    from pyspark.sql import functions as f

    edges = identical_edges(images)
    if near_pairs is not None:
        near = near_pairs.where("subject_a != subject_b")
        edges = edges.union(near.select(f.col("subject_a").alias("a"), f.col("subject_b").alias("b")))
    components = connected_components(edges).withColumnRenamed("node", "subject")
    grouped = images.join(components, "subject", "left")
    return grouped.withColumn("group", f.coalesce("component", "subject")).drop("component")


def connected_components(edges: "DataFrame") -> "DataFrame":
    """Return `node`, `component` for every node of the edges; a component is named for its first node.

    Alternating large-star and small-star steps (Kiveris et al. 2014): a logarithmic number of rounds, even on chains.

    Args:
        edges: `a`, `b`; undirected, any order, without loops.
    """
    from pyspark.sql import functions as f

    edges = edges.select(f.greatest("a", "b").alias("a"), f.least("a", "b").alias("b")).distinct()
    if edges.isEmpty():
        return edges.sparkSession.createDataFrame([], "node string, component string")
    current = _checkpoint(edges)
    digest = _digest(current)
    while True:
        current = _checkpoint(_small_star(_large_star(current)))
        previous, digest = digest, _digest(current)
        if digest == previous:
            break
    roots = current.select(f.col("b").alias("node"), f.col("b").alias("component")).distinct()
    return current.select(f.col("a").alias("node"), f.col("b").alias("component")).union(roots)


def _large_star(edges: "DataFrame") -> "DataFrame":
    """Link each node's larger neighbours to the smallest of its neighbours and itself. Edges are (larger, smaller)."""
    from pyspark.sql import functions as f

    both = edges.union(edges.select("b", "a"))
    smallest = both.groupBy("a").agg(f.least(f.min("b"), f.col("a")).alias("root"))
    linked = both.where("b > a").join(smallest, "a")
    return linked.select(f.col("b").alias("a"), f.col("root").alias("b")).where("a != b").distinct()


def _small_star(edges: "DataFrame") -> "DataFrame":
    """Link each node and its smaller neighbours to the smallest of them. Edges are (larger, smaller)."""
    from pyspark.sql import functions as f

    smallest = edges.groupBy("a").agg(f.min("b").alias("root"))
    neighbours = edges.join(smallest, "a").select(f.col("b").alias("a"), f.col("root").alias("b"))
    return neighbours.union(smallest.select("a", f.col("root").alias("b"))).where("a != b").distinct()


def _checkpoint(edges: "DataFrame") -> "DataFrame":
    # Cuts the plan, which would double with every round.
    return edges.localCheckpoint(eager=True)


def _digest(edges: "DataFrame") -> tuple[int, int]:
    from pyspark.sql import functions as f

    row = edges.agg(f.count("*"), f.sum(f.xxhash64("a", "b").cast("decimal(38,0)"))).first()
    return int(row[0]), int(row[1] or 0)


def near_duplicates(images: "DataFrame", most_bits: int) -> "DataFrame":
    """Return `source_a`, `source_b`, `subject_a`, `subject_b` of images that look the same and are not identical.

    Their 64-bit perceptual hashes differ in at most `most_bits` ≤ 3 bits, so at least one of the four quarters of the
    hash is equal: only images that share a quarter are compared. A quarter that more than a thousand images share
    (blank ones, say) tells nothing and would cost the square of their number: it is left out.

    Args:
        images: `source`, `subject`, `content_hash`, `perceptual_hash`.
        most_bits: 0–3.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    quarters = f.array(
        *(f.shiftrightunsigned("perceptual_hash", 16 * quarter).bitwiseAND(0xFFFF) for quarter in range(4))
    )
    keyed = images.select("source", "subject", "content_hash", "perceptual_hash", f.posexplode(quarters))
    sharing = f.count("*").over(Window.partitionBy("pos", "col"))
    keyed = keyed.withColumn("sharing", sharing).where(f.col("sharing").between(2, _MOST_SHARING))
    columns = ("source", "subject", "content_hash", "perceptual_hash")
    one, other = (
        keyed.select("pos", "col", *(f.col(name).alias(f"{name}_{side}") for name in columns)) for side in "ab"
    )
    distance = f.bit_count(f.col("perceptual_hash_a").bitwiseXOR(f.col("perceptual_hash_b")))
    pairs = one.join(other, ["pos", "col"]).where("source_a < source_b and content_hash_a != content_hash_b")
    return pairs.where(distance <= most_bits).select("source_a", "source_b", "subject_a", "subject_b").distinct()
