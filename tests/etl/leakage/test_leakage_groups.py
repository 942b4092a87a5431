"""Subjects joined by images with the same pixels, by hand, at random and in the real data."""

import csv
from collections import Counter, defaultdict
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.leakage import duplicates
from etl.leakage.duplicates import leakage_groups
from etl.options import EtlOptions
from etl.placement.decide import DuplicateImage, Duplicates, decide_placement
from etl.source.layouts.cnmc import rows_of
from etl.source.rows import LISTED, UNLABELLED, Kind
from hvdcells.data.columns import CNMC_CLASS_NAMES
from hvdcells.images.files import SourceFile
from tests.etl.cells import FULL_MANIFEST, SAMPLE, needs_manifest, needs_sample


def test_a_long_chain_is_one_group_whatever_its_order():
    nodes = [f"n{number:05d}" for number in np.random.default_rng(0).permutation(10_000)]
    assert leakage_groups(pairwise(nodes)) == dict.fromkeys(nodes, "n00000")


def test_no_pairs_no_groups():
    assert leakage_groups([]) == {}


def test_a_group_is_named_for_its_first_subject():
    assert leakage_groups([("3", "2"), ("1", "2"), ("5", "4")]) == {"1": "1", "2": "1", "3": "1", "4": "4", "5": "4"}


def groups_by_union_find(pairs):
    parent = {name: name for pair in pairs for name in pair}

    def root(name):
        while parent[name] != name:
            name = parent[name]
        return name

    for one, other in pairs:
        first, second = sorted((root(one), root(other)))
        parent[second] = first
    return {name: root(name) for name in parent}


@pytest.mark.parametrize("times", [2, 256, 65536])
def test_a_pair_may_come_any_number_of_times(times):
    assert leakage_groups([("b", "a"), ("c", "b")] * times) == {"a": "a", "b": "a", "c": "a"}


NAMES = st.one_of(st.integers(0, 40).map(str), st.text(max_size=3))


@given(st.lists(st.tuples(NAMES, NAMES), max_size=60))
def test_groups_are_those_of_a_union_find(pairs):
    assert leakage_groups(pairs) == groups_by_union_find(pairs)
    assert leakage_groups((other, one) for one, other in reversed(pairs * 2)) == leakage_groups(pairs)


@pytest.fixture(scope="module")
def real_rows():
    """All images of the real data by source, the hash of the file standing for that of the pixels."""
    with (SAMPLE / "validation_data" / "C-NMC_test_prelim_phase_data_labels.csv").open() as file:
        labels = {line["new_names"]: (line["Patient_ID"], line["labels"]) for line in csv.DictReader(file)}
    with FULL_MANIFEST.open() as file:
        lines = [line for line in csv.DictReader(file, delimiter="\t") if line["path"].endswith(".bmp")]
    files = [SourceFile(line["path"], int(line["bytes"]), line["sha256"]) for line in lines]
    return {row.source: row for row in rows_of(files, labels)}


@pytest.fixture(scope="module")
def real_sets(real_rows):
    """Sets of sources with the same pixels."""
    rows = list(real_rows.values())
    table = duplicates.facts(0, range(len(rows)), [row.fingerprint[:32] for row in rows], [0] * len(rows))
    return [[rows[index].source for _, index in members] for members in duplicates.identical_sets(table)]


@pytest.fixture(scope="module")
def real_duplicates(real_rows, real_sets):
    """What decoding the labelled images would tell."""
    identical_sets = tuple(
        tuple(DuplicateImage(source, Kind.of(real_rows[source])) for source in members)
        for members in real_sets
        if all(real_rows[source].status == LISTED for source in members)
    )
    subjects = [sorted({image.kind.subject for image in members}) for members in identical_sets]
    return Duplicates(identical_sets, leakage_groups(pair for names in subjects for pair in pairwise(names)))


@needs_manifest
@needs_sample
def test_the_106_identical_pairs_of_the_real_data(real_rows, real_sets, real_duplicates):
    pairs = [pair for members in real_sets for pair in combinations(members, 2)]
    assert len(pairs) == 106
    # Two of the pairs lie within the final test set, the others within the training folds.
    assert sum(real_rows[one].status == real_rows[other].status == UNLABELLED for one, other in pairs) == 2
    pairs = [(real_rows[one], real_rows[other]) for one, other in pairs if real_rows[one].status == LISTED]
    assert sum(one.subject != other.subject for one, other in pairs) == 99
    assert sum(one.fold != other.fold for one, other in pairs) == 94

    group = real_duplicates.group_of
    assert all(group.get(one.subject, one.subject) == group.get(other.subject, other.subject) for one, other in pairs)
    joined = defaultdict(set)
    for subject, name in group.items():
        joined[name].add(subject)
    several = sorted(tuple(sorted(members)) for members in joined.values())
    assert ("20", "21") in several
    assert ("51", "75", "78") in several
    assert ("H10", "H3") in several
    assert ("H2", "H4", "H5", "H6") in several


@needs_manifest
@needs_sample
@pytest.mark.parametrize("split", ["official", "grouped", "k-fold"])
def test_no_strategy_leaves_a_copy_on_two_sides_of_the_real_data(real_rows, real_duplicates, split):
    rows = [row for row in real_rows.values() if row.status == LISTED]
    assert len(rows) == 12528
    kinds = Counter(map(Kind.of, rows))
    placement = decide_placement(kinds, EtlOptions.of(split=split), CNMC_CLASS_NAMES, duplicates=real_duplicates)
    placed = [(row, placement.place(row.source, row)) for row in rows]
    kept = [(row, place) for row, place in placed if not place.dropped]
    side = (lambda place: (place.split, place.fold)) if split == "k-fold" else (lambda place: place.split)
    keys = {"subject": lambda row, _: row.subject, "pixels": lambda row, _: row.fingerprint}
    if split != "official":
        keys["group"] = lambda _, place: place.group
    for name, key in keys.items():
        sides = defaultdict(set)
        for row, place in kept:
            sides[key(row, place)].add(side(place))
        assert max(map(len, sides.values())) == 1, name
    counts = Counter(place.split for _, place in kept)
    if split == "official":
        dropped = [place for _, place in placed if place.dropped]
        assert {place.split for place in dropped} == {"train"}
        assert counts["validation"] == 3553
        assert counts["test"] == 1867
        assert counts["train"] + len(dropped) == 7108
        assert all(place.dropped == "the same pixels are also in validation" for place in dropped)
    if split == "grouped":
        assert len(kept) == 12528
        for label in (0, 1):
            per_split = Counter(place.split for row, place in kept if row.label == label)
            assert abs(per_split["train"] / per_split.total() - 0.7) < 0.05
    if split == "k-fold":
        folds = Counter((place.fold, row.label) for row, place in kept if place.split == "train")
        assert len(folds) == 10
        assert counts["test"] == 1867
