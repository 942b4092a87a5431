"""What only pixels tell, found over all shards: copies, look-alikes, and the subjects that they join.

One Spark job over the hashes of all images; another looks up the few images that it found. Small arrays go through
Spark, one a shard, never a row an image.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np

from etl.leakage import duplicates
from etl.leakage.duplicates import Facts, Image, leakage_groups
from etl.options import EtlOptions
from etl.placement.decide import DuplicateImage, Duplicates
from etl.shards.findings import ImageFinding, read_findings
from etl.shards.jobs import flat_map
from etl.shards.shard import DecodedShard, ShardContext
from etl.source.rows import Kind

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MOST_NAMED = 5000
"""Pairs named in the manifest; all are counted."""
BUCKET_IMAGES = 1_000_000
"""Images compared at a time; so many take a second and 40 MB."""
_BY_PIXELS = duplicates.NUM_QUARTERS
_WAYS = range(duplicates.NUM_QUARTERS + 1)
"""Images are compared by each quarter of the perceptual hash, and by the hash of the stored pixels."""


def find_duplicates(
    spark: "SparkSession",
    shards: Sequence[DecodedShard],
    context: ShardContext,
    options: EtlOptions,
    class_names: Sequence[str],
) -> Duplicates:
    """Find images with the same pixels, images that look the same, and the subjects joined by them.

    The driver gets these images only.
    """
    sets, near = _repeated(spark, shards, context, options.near_duplicate_bits)
    join = options.near_duplicates == "join"
    named = near if join else near[:MOST_NAMED]
    image_of = _look_up(spark, shards, context, {image for group in (*sets, *named) for image in group})
    equal_sets = sorted(tuple(sorted(image_of[image] for image in members)) for members in sets)
    conflicts = tuple(members for members in equal_sets if len({image.kind.label for image in members}) > 1)
    near_images = [(image_of[one], image_of[other]) for one, other in named]
    refused = conflicts if options.label_conflicts == "reject" else ()
    # A rejected image still tells that two subjects may be one, unless it shows nothing.
    blank = {members for members in refused if members[0].blank}
    joining = chain((members for members in equal_sets if members not in blank), near_images if join else ())
    return Duplicates(
        identical_sets=tuple(members for members in equal_sets if members not in refused),
        label_conflicts=conflicts,
        rejected={
            image.source: f"the same pixels are labelled {_labels_of(members, class_names)}"
            for members in refused
            for image in members
        },
        group_of=leakage_groups(pair for members in joining for pair in _subject_pairs(members)),
        near_pairs=tuple(_sorted_sources(*pair) for pair in near_images[:MOST_NAMED]),
        num_near_pairs=len(near),
    )


def _subject_pairs(members: Iterable[DuplicateImage]) -> Iterator[tuple[str, str]]:
    # A chain is enough to connect them, and linear in their number.
    return pairwise(sorted({image.kind.subject for image in members}))


def _labels_of(members: Iterable[DuplicateImage], class_names: Sequence[str]) -> str:
    return " and ".join(class_names[label] for label in sorted({image.kind.label for image in members}))


def _is_blank(finding: ImageFinding, num_pixels: int) -> bool:
    """Whether all pixels of an image are equal: then, and only then, its variance is zero (Cauchy–Schwarz)."""
    sums, square_sums = finding.sums[:3], finding.sums[3:]
    return all(total**2 == num_pixels * squares for total, squares in zip(sums, square_sums, strict=True))


def _sorted_sources(one: DuplicateImage, other: DuplicateImage) -> tuple[str, str]:
    return min(one.source, other.source), max(one.source, other.source)


def _repeated(
    spark: "SparkSession", shards: Sequence[DecodedShard], context: ShardContext, most_bits: int
) -> tuple[list[list[Image]], list[tuple[Image, Image]]]:
    """Return sets of identical images, and pairs of near ones, in an order that Spark has no part in."""
    named = [(shard.number, shard.name) for shard in shards]
    num_tasks = 2 * spark.sparkContext.defaultParallelism
    num_buckets = -(-sum(shard.num_images for shard in shards) // BUCKET_IMAGES)
    if num_buckets <= 1:
        parts = flat_map(spark, named, lambda shard: [_facts(*shard, context).tobytes()], num_tasks).collect()
        found = [_find(way, parts, most_bits) for way in _WAYS]
    else:
        dealt = flat_map(spark, named, lambda shard: _deal_out(_facts(*shard, context), num_buckets), num_tasks)
        buckets = dealt.groupByKey(len(_WAYS) * num_buckets, lambda bucket: bucket[0] * num_buckets + bucket[1])
        found = buckets.map(lambda bucket: _find(bucket[0][0], bucket[1], most_bits)).collect()
    sets = sorted(members for identical, _ in found for members in identical)
    near = sorted({pair for _, pairs in found for pair in pairs})
    return sets, near


def _deal_out(images: Facts, num_buckets: int) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Yield images by way of comparing them and bucket: those that may belong together are in the same."""
    for way in _WAYS:
        key = images["low"] if way == _BY_PIXELS else duplicates.quarter_of(images, way)
        bucket_of = key % np.uint64(num_buckets)
        for bucket in np.unique(bucket_of).tolist():
            yield (way, bucket), images[bucket_of == bucket].tobytes()


def _find(way: int, parts: Iterable[bytes], most_bits: int) -> tuple[list[list[Image]], set[tuple[Image, Image]]]:
    """Return sets of identical images, if that is the way of comparing them, or else pairs of near ones."""
    images = np.frombuffer(b"".join(parts), duplicates.FACT)
    if way == _BY_PIXELS:
        return duplicates.identical_sets(images), set()
    return [], duplicates.near_pairs(images, way, most_bits)


def _facts(number: int, name: str, context: ShardContext) -> Facts:
    findings = read_findings(context.decoding.findings(name)).images
    # The findings of an earlier state may name images that are gone from the source.
    listed = {row.source for row in context.rows(number)} if number in context.known_shards else None
    usable = [
        (index, finding.stored_hash, finding.perceptual_hash)
        for index, finding in enumerate(findings)
        if not finding.reason and (listed is None or finding.source in listed)
    ]
    return duplicates.facts(number, *zip(*usable, strict=True)) if usable else np.empty(0, duplicates.FACT)


def _look_up(
    spark: "SparkSession", shards: Sequence[DecodedShard], context: ShardContext, wanted: set[Image]
) -> dict[Image, DuplicateImage]:
    """Return source and kind of some images."""
    if not wanted:
        return {}
    num_pixels = context.decoding.image_size**2
    indices: dict[int, list[int]] = {}
    for number, index in sorted(wanted):
        indices.setdefault(number, []).append(index)

    def look_up(number: int, name: str, indices: list[int]) -> list[tuple[Image, DuplicateImage]]:
        findings = read_findings(context.decoding.findings(name)).images
        kinds = {row.source: Kind.of(row) for row in context.rows(number)}
        sources = [(index, findings[index].source) for index in indices]
        return [
            ((number, index), DuplicateImage(source, kinds[source], _is_blank(findings[index], num_pixels)))
            for index, source in sources
        ]

    named = [(shard.number, shard.name, indices[shard.number]) for shard in shards if shard.number in indices]
    looked_up = flat_map(spark, named, lambda entry: look_up(*entry), 2 * spark.sparkContext.defaultParallelism)
    return dict(looked_up.collect())
