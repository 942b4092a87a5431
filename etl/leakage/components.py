"""Leakage groups: subjects joined, over any number of steps, by images with the same pixels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_matrix, csgraph

from etl.shards.frames import settings_for

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


MOST_PAIRS_ON_THE_DRIVER = 100_000


def group_of(spark: "SparkSession", joined: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the leakage group of each subject that is joined with others: the first of all names in it.

    Args:
        spark: where components are found.
        joined: pairs of different subjects.
    """
    if not joined:
        return {}
    if len(joined) <= MOST_PAIRS_ON_THE_DRIVER:
        return _components_on_the_driver(joined)
    with settings_for(spark, len(joined)):
        components = connected_components(spark.createDataFrame(joined, "a string, b string"))
        return {row.node: row.component for row in components.collect()}


def _components_on_the_driver(joined: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the same as `connected_components`, without the dozen Spark jobs that it takes."""
    names, ends = np.unique(np.array(joined, object).reshape(-1), return_inverse=True)
    one, other = ends.reshape(-1, 2).T
    links = coo_matrix((np.ones(len(joined)), (one, other)), shape=(len(names), len(names)))
    _, component_of = csgraph.connected_components(links, directed=False)
    # Names are sorted, so the first of a component is where its number is first seen.
    _, first = np.unique(component_of, return_index=True)
    return dict(zip(names.tolist(), names[first[component_of]].tolist(), strict=True))


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
