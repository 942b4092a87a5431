"""What only decoding tells, found over all shards: copies, look-alikes, and the subjects that they join.

One Spark job over the hashes of all images; another looks up the few images that it found. Small arrays go through
Spark, one a shard, never a row an image.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from etl.leakage import duplicates
from etl.leakage.components import group_of
from etl.leakage.duplicates import Image
from etl.options import EtlOptions
from etl.placement.place import Copy, Sharing
from etl.shards.findings import read_findings
from etl.shards.spark_tasks import flat_map
from etl.shards.task import Made, Making
from etl.source.listing import Kind

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MOST_NAMED = 5000
"""Pairs named in the manifest; all are counted."""
BUCKET_IMAGES = 1_000_000
"""Images compared at a time; so many take a second and 40 MB."""
_BY_PIXELS = duplicates.NUM_QUARTERS
_WAYS = range(duplicates.NUM_QUARTERS + 1)
"""Images are compared by each quarter of the perceptual hash, and by the content hash."""


class SharedPixels(NamedTuple):
    """What is in the pixels of all images."""

    sharing: Sharing
    num_near_pairs: int
    near_pairs: tuple[tuple[str, str], ...]
    """Sources of the first `MOST_NAMED`."""


def find_sharing(spark: "SparkSession", made: Sequence[Made], making: Making, options: EtlOptions) -> SharedPixels:
    """Find images with the same pixels, images that look the same, and the subjects joined by them.

    The driver gets these images only.
    """
    num_rejected: Counter[Kind] = sum((Counter(shard.num_rejected) for shard in made), Counter())
    sets, near = _repeated(spark, made, making, options.near_duplicate_bits)
    join = options.near_duplicates == "join"
    named = near if join else near[:MOST_NAMED]
    copies_of = _look_up(spark, made, making, {image for group in (*sets, *named) for image in group})
    copies = sorted(tuple(sorted(copies_of[image] for image in members)) for members in sets)
    near_copies = [(copies_of[one], copies_of[other]) for one, other in named]
    joined = {pair for members in (*copies, *(near_copies if join else ())) for pair in _subject_pairs(members)}
    sharing = Sharing(tuple(copies), group_of(spark, sorted(joined)), num_rejected)
    pairs = tuple(tuple(sorted((one.source, other.source))) for one, other in near_copies[:MOST_NAMED])
    return SharedPixels(sharing, len(near), pairs)


def _subject_pairs(members: Iterable[Copy]) -> Iterator[tuple[str, str]]:
    # A chain is enough to connect them, and linear in their number.
    return pairwise(sorted({copy.kind.subject for copy in members}))


def _repeated(
    spark: "SparkSession", made: Sequence[Made], making: Making, most_bits: int
) -> tuple[list[list[Image]], list[tuple[Image, Image]]]:
    """Return sets of identical images, and pairs of near ones, in an order that Spark has no part in."""
    named = [(shard.shard, shard.staged) for shard in made]
    num_tasks = 2 * spark.sparkContext.defaultParallelism
    num_buckets = -(-sum(shard.num_images for shard in made) // BUCKET_IMAGES)
    if num_buckets <= 1:
        parts = flat_map(spark, named, lambda shard: [_facts(*shard, making).tobytes()], num_tasks).collect()
        found = [_find(way, parts, most_bits) for way in _WAYS]
    else:
        dealt = flat_map(spark, named, lambda shard: _deal_out(_facts(*shard, making), num_buckets), num_tasks)
        buckets = dealt.groupByKey(len(_WAYS) * num_buckets, lambda bucket: bucket[0] * num_buckets + bucket[1])
        found = buckets.map(lambda bucket: _find(bucket[0][0], bucket[1], most_bits)).collect()
    sets = sorted(members for way, part in found if way == _BY_PIXELS for members in part)
    near = sorted({pair for way, part in found if way != _BY_PIXELS for pair in part})
    return sets, near


def _deal_out(images: np.ndarray, num_buckets: int) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Yield images by way of comparing them and bucket: those that may belong together are in the same."""
    for way in _WAYS:
        key = images["low"] if way == _BY_PIXELS else duplicates.quarter_of(images, way)
        bucket_of = key % np.uint64(num_buckets)
        for bucket in np.unique(bucket_of).tolist():
            yield (way, bucket), images[bucket_of == bucket].tobytes()


def _find(way: int, parts: Iterable[bytes], most_bits: int) -> tuple[int, list]:
    images = np.frombuffer(b"".join(parts), duplicates.FACT)
    if way == _BY_PIXELS:
        return way, duplicates.identical_sets(images)
    return way, sorted(duplicates.near_pairs(images, way, most_bits))


def _facts(shard: int, staged: str, making: Making) -> np.ndarray:
    findings, _ = read_findings(making.decoding.findings(staged))
    # The findings of an earlier state may name images that are gone from the source.
    listed = {row.source for row in making.rows(shard)} if shard in making.known_shards else None
    usable = [
        (index, finding.content_hash, finding.perceptual_hash)
        for index, finding in enumerate(findings)
        if not finding.reason and (listed is None or finding.source in listed)
    ]
    return duplicates.facts(shard, *zip(*usable, strict=True)) if usable else np.empty(0, duplicates.FACT)


def _look_up(spark: "SparkSession", made: Sequence[Made], making: Making, wanted: set[Image]) -> dict[Image, Copy]:
    """Return source and kind of some images."""
    if not wanted:
        return {}
    indices: dict[int, list[int]] = {}
    for shard, index in sorted(wanted):
        indices.setdefault(shard, []).append(index)

    def look_up(shard: int, staged: str, indices: list[int]) -> list[tuple[Image, Copy]]:
        findings, _ = read_findings(making.decoding.findings(staged))
        kinds = {row.source: Kind.of(row) for row in making.rows(shard)}
        sources = [(index, findings[index].source) for index in indices]
        return [((shard, index), Copy(source, kinds[source])) for index, source in sources]

    named = [(shard.shard, shard.staged, indices[shard.shard]) for shard in made if shard.shard in indices]
    looked_up = flat_map(spark, named, lambda entry: look_up(*entry), 2 * spark.sparkContext.defaultParallelism)
    return dict(looked_up.collect())
