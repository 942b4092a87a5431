"""What leaks: images with the same pixels, images that look the same, subjects joined by them. For the manifest."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, islice

from etl.leakage.find import MOST_NAMED
from etl.options import EtlOptions
from etl.placement.decide import Duplicates
from etl.placement.place import Placement
from etl.shards.counts import Tally
from etl.source.layouts import Layout
from hvdcells.data.manifest import LeakageReport, lacking_classes

Pair = tuple[str, str]
NO_SUBJECTS = "no subjects are known: images of one subject may be on two sides of a split"


def leakage_report(
    placement: Placement,
    duplicates: Duplicates,
    tallied: Sequence[Tally],
    dropped: Mapping[str, str],
    layout: Layout,
    options: EtlOptions,
) -> LeakageReport:
    """Put the report together.

    Args:
        placement: where images go.
        duplicates: images with the same pixels, and images that look the same.
        tallied: counts of all images.
        dropped: images left out, with the reason.
        layout: of the source.
        options: of the run.
    """
    sets = sorted(
        sorted((image.source, placement.place(image.source, image.kind).split) for image in members)
        for members in duplicates.identical_sets
    )
    # A picture that is there a thousand times makes half a million pairs: counted, and only some named.
    pairs = [(one[0], other[0]) for one, other in islice(_pairs(sets), MOST_NAMED)]
    across = [(one[0], other[0]) for one, other in islice((p for p in _pairs(sets) if p[0][1] != p[1][1]), MOST_NAMED)]
    num_across = _num_pairs(map(len, sets)) - _num_pairs(
        num for members in sets for num in Counter(split for _, split in members).values()
    )
    subjects_of = _collect((tally.key.group, tally.key.subject) for tally in tallied)
    alone = sum(tally.images for tally in tallied if not tally.key.group)
    warnings = [] if layout.subjects_known else [NO_SUBJECTS]
    if options.keep_leaks and across:
        warnings.append(f"{num_across} pairs of identical images are on two sides, kept as asked: scores will flatter")
    num_conflicting = sum(map(len, duplicates.label_conflicts))
    if num_conflicting:
        what = "rejected: look which label is right" if duplicates.rejected else "kept as asked: `check` fails"
        warnings.append(f"{num_conflicting} images have the same pixels as others with another label; {what}")
    warnings += _divided_groups(tallied, subjects_of)
    warnings += _lacking_classes(tallied, layout.class_names)
    return LeakageReport(
        num_groups=len(subjects_of) + alone - (1 if alone else 0),
        groups_of_several_subjects=tuple(
            tuple(sorted(group)) for _, group in sorted(subjects_of.items()) if len(group) > 1
        ),
        identical_pairs=tuple(pairs),
        num_identical_pairs=_num_pairs(map(len, sets)),
        near_duplicate_pairs=tuple(sorted(duplicates.near_pairs)),
        num_near_duplicate_pairs=duplicates.num_near_pairs,
        across_splits=tuple(across),
        label_conflicts=tuple(
            tuple((image.source, layout.class_names[image.kind.label]) for image in members)
            for members in duplicates.label_conflicts[:MOST_NAMED]
        ),
        num_label_conflicts=num_conflicting,
        dropped=dict(sorted(dropped.items())),
        warnings=tuple(warnings),
    )


def _pairs(sets: Iterable[Sequence[Pair]]) -> Iterator[tuple[Pair, Pair]]:
    return (pair for members in sets for pair in combinations(members, 2))


def _num_pairs(sizes: Iterable[int]) -> int:
    return sum(size * (size - 1) // 2 for size in sizes)


def _collect(pairs: Iterable[Pair]) -> dict[str, set[str]]:
    collected: dict[str, set[str]] = defaultdict(set)
    for key, value in pairs:
        collected[key].add(value)
    return collected


def _lacking_classes(tallied: Sequence[Tally], class_names: Sequence[str]) -> list[str]:
    there = _collect((tally.key.split, tally.key.class_name) for tally in tallied if tally.key.kept)
    return [
        lacking_classes(split, there[split], class_names)
        for split in sorted(there)
        if len(there[split]) < len(class_names)
    ]


def _divided_groups(tallied: Sequence[Tally], subjects_of: dict[str, set[str]]) -> list[str]:
    sides = _collect((key.group, key.split) for key, _, _ in tallied if key.kept and key.group)
    return [
        f"the subjects {', '.join(sorted(subjects_of[group]))} share identical images, so they may be one person, and "
        f"they are in {' and '.join(sorted(splits))}; `--split grouped` keeps them together"
        for group, splits in sorted(sides.items())
        if len(splits) > 1
    ]
