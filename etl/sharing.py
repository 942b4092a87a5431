"""What only decoding tells, found over all shards: copies, look-alikes, and the subjects that they join.

One Spark job over the hashes of all images; another looks up the few images that it found. Small arrays go through
Spark, one a shard, never a row an image.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from etl import repeats, shards
from etl.groups import group_of
from etl.listing import Kind
from etl.making import Made, Making
from etl.options import EtlOptions
from etl.placing import Copy, Sharing
from etl.repeats import Image
from etl.tasks import flat_map, make_ready

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MOST_NAMED = 5000
"""Pairs named in the manifest; all are counted."""
_BUCKET_IMAGES = 1_000_000
_BY_PIXELS = repeats.NUM_QUARTERS
"""Images are dealt out five times: by each quarter of the perceptual hash, and by the content hash."""


class Found(NamedTuple):
    """What is in the pixels of all images."""

    sharing: Sharing
    num_near_pairs: int
    near_pairs: tuple[tuple[str, str], ...]
    """Sources of the first `MOST_NAMED`."""


def find_sharing(spark: "SparkSession", made: Sequence[Made], making: Making, options: EtlOptions) -> Found:
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
    return Found(sharing, len(near), pairs)


def _subject_pairs(members: Iterable[Copy]) -> Iterator[tuple[str, str]]:
    # A chain is enough to connect them, and linear in their number.
    return pairwise(sorted({copy.kind.subject for copy in members}))


def _repeated(
    spark: "SparkSession", made: Sequence[Made], making: Making, most_bits: int
) -> tuple[list[list[Image]], list[tuple[Image, Image]]]:
    """Return sets of identical images, and pairs of near ones, in an order that Spark has no part in."""
    num_buckets = -(-sum(shard.num_images for shard in made) // _BUCKET_IMAGES)

    def deal_out(named: tuple[int, str]) -> Iterator[tuple[int, bytes]]:
        images = _facts(*named, making)
        for way in range(repeats.NUM_QUARTERS + 1):
            key = images["low"] if way == _BY_PIXELS else repeats.quarter_of(images, way)
            bucket_of = key % np.uint64(num_buckets)
            for bucket in np.unique(bucket_of).tolist():
                yield way * num_buckets + bucket, images[bucket_of == bucket].tobytes()

    def find(dealt: Iterator[tuple[int, bytes]]) -> Iterator[tuple[bool, list]]:
        make_ready()
        way, parts = 0, []
        for number, part in dealt:
            way = number // num_buckets
            parts.append(part)
        images = np.frombuffer(b"".join(parts), repeats.FACT)
        if way == _BY_PIXELS:
            yield True, repeats.identical_sets(images)
        else:
            yield False, sorted(repeats.near_pairs(images, way, most_bits))

    named = [(shard.shard, shard.staged) for shard in made]
    dealt = flat_map(spark, named, deal_out, 2 * spark.sparkContext.defaultParallelism)
    num_tasks = (repeats.NUM_QUARTERS + 1) * num_buckets
    found = dealt.partitionBy(num_tasks, lambda number: number).mapPartitions(find).collect()
    sets = sorted(members for by_pixels, part in found if by_pixels for members in part)
    near = sorted({pair for by_pixels, part in found if not by_pixels for pair in part})
    return sets, near


def _facts(shard: int, staged: str, making: Making) -> np.ndarray:
    findings, _ = shards.read_findings(making.decoding.findings(staged))
    # The findings of an earlier state may name images that are gone from the source.
    listed = {row.source for row in making.rows(shard)} if shard in making.known_shards else None
    usable = [
        (index, finding.content_hash, finding.perceptual_hash)
        for index, finding in enumerate(findings)
        if not finding.reason and (listed is None or finding.source in listed)
    ]
    return repeats.facts(shard, *zip(*usable, strict=True)) if usable else np.empty(0, repeats.FACT)


def _look_up(spark: "SparkSession", made: Sequence[Made], making: Making, wanted: set[Image]) -> dict[Image, Copy]:
    """Return source and kind of some images."""
    if not wanted:
        return {}
    indices: dict[int, list[int]] = {}
    for shard, index in sorted(wanted):
        indices.setdefault(shard, []).append(index)

    def look_up(shard: int, staged: str, indices: list[int]) -> list[tuple[Image, Copy]]:
        findings, _ = shards.read_findings(making.decoding.findings(staged))
        kinds = {row.source: Kind.of(row) for row in making.rows(shard)}
        sources = [(index, findings[index].source) for index in indices]
        return [((shard, index), Copy(source, kinds[source])) for index, source in sources]

    named = [(shard.shard, shard.staged, indices[shard.shard]) for shard in made if shard.shard in indices]
    looked_up = flat_map(spark, named, lambda entry: look_up(*entry), 2 * spark.sparkContext.defaultParallelism)
    return dict(looked_up.collect())
