"""What leaks: images with the same pixels, images that look the same, subjects joined by them. For the manifest."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from etl.describing import Tally
from hvdcells.manifest import LeakageReport

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

MOST_NAMED = 5000
"""Pairs named in the manifest; all are counted."""

Pair = tuple[str, str]


def copies(images: "DataFrame") -> list[list[tuple[str, str]]]:
    """Return the sets of images with the same pixels, each as a sorted list of (source, split).

    The driver gets these images only.
    """
    from pyspark.sql import functions as f

    members = f.sort_array(f.collect_list(f.struct("source", "split"))).alias("members")
    sets = images.groupBy("content_hash").agg(members).where(f.size("members") > 1).collect()
    return sorted([(member.source, member.split) for member in row.members] for row in sets)


def report(
    placed: "DataFrame", tallied: Sequence[Tally], near_pairs: "DataFrame", subjects_known: bool, keep_leaks: bool
) -> LeakageReport:
    """Collect the report.

    Args:
        placed: images with `source`, `split`, `content_hash`, `dropped`.
        tallied: counts of these.
        near_pairs: `source_a`, `source_b` of near-duplicates.
        subjects_known: whether the source names subjects.
        keep_leaks: leaks were to be kept.
    """
    pairs = [pair for members in copies(placed) for pair in combinations(members, 2)]
    across = [(one[0], other[0]) for one, other in pairs if one[1] != other[1]]
    near = sorted((row.source_a, row.source_b) for row in near_pairs.select("source_a", "source_b").collect())
    dropped = {}
    if not all(tally.kept for tally in tallied):
        dropped = {
            row.source: row.dropped for row in placed.where("dropped != ''").select("source", "dropped").collect()
        }
    subjects_of = _collect((tally.group, tally.subject) for tally in tallied)
    alone = sum(tally.images for tally in tallied if not tally.group)
    warnings = [] if subjects_known else ["no subjects are known: images of one subject may be on two sides of a split"]
    if keep_leaks and across:
        warnings.append(f"{len(across)} pairs of identical images are on two sides, kept as asked: scores will flatter")
    warnings += _divided_groups(tallied, subjects_of)
    return LeakageReport(
        num_groups=len(subjects_of) + alone - (1 if alone else 0),
        groups_of_several_subjects=tuple(
            tuple(sorted(group)) for _, group in sorted(subjects_of.items()) if len(group) > 1
        ),
        identical_pairs=tuple((one[0], other[0]) for one, other in pairs[:MOST_NAMED]),
        num_identical_pairs=len(pairs),
        near_duplicate_pairs=tuple(near[:MOST_NAMED]),
        num_near_duplicate_pairs=len(near),
        across_splits=tuple(across[:MOST_NAMED]),
        dropped=dict(sorted(dropped.items())),
        warnings=tuple(warnings),
    )


def _collect(pairs: Iterable[Pair]) -> dict[str, set[str]]:
    collected: dict[str, set[str]] = defaultdict(set)
    for key, value in pairs:
        collected[key].add(value)
    return collected


def _divided_groups(tallied: Sequence[Tally], subjects_of: dict[str, set[str]]) -> list[str]:
    sides = _collect((tally.group, tally.split) for tally in tallied if tally.kept and tally.group)
    return [
        f"the subjects {', '.join(sorted(subjects_of[group]))} share identical images, so they may be one person, and "
        f"they are in {' and '.join(sorted(splits))}; `--split grouped` keeps them together"
        for group, splits in sorted(sides.items())
        if len(splits) > 1
    ]
