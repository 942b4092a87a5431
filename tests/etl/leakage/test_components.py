import csv
from collections import Counter, defaultdict
from itertools import combinations, pairwise

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components as reference_components

from etl.leakage import components, duplicates
from etl.leakage.components import connected_components, group_of
from etl.options import EtlOptions
from etl.placement.place import Copy, Sharing, decide
from etl.source.files import SourceFile
from etl.source.layouts.cnmc import rows_of
from etl.source.listing import Kind
from etl.source.rows import LISTED, UNLABELLED
from hvdcells.data.columns import CNMC_CLASS_NAMES
from tests.etl.cells import FULL_MANIFEST, SAMPLE, needs_manifest, needs_sample

pytestmark = pytest.mark.spark


@pytest.fixture(autouse=True)
def few_rows(spark):
    from etl.shards.frames import settings_for

    with settings_for(spark, 1000):
        yield


def components_of(spark, edges):
    frame = spark.createDataFrame(edges, "a string, b string")
    return {row.node: row.component for row in connected_components(frame).collect()}


def test_a_long_chain_is_one_component_whatever_its_order(spark):
    nodes = [f"n{number:03d}" for number in np.random.default_rng(0).permutation(64)]
    edges = list(pairwise(nodes))
    assert components_of(spark, edges) == dict.fromkeys(nodes, "n000")


def test_no_edges_no_components(spark):
    assert components_of(spark, []) == {}


@pytest.mark.parametrize("seed", [0, 1])
def test_random_graphs_agree_with_scipy(spark, seed):
    rng = np.random.default_rng(seed)
    ends = rng.integers(0, 120, (90, 2))
    ends = ends[ends[:, 0] != ends[:, 1]]
    found = components_of(spark, [(f"n{a:03d}", f"n{b:03d}") for a, b in ends.tolist()])
    _, wanted = reference_components(coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(120, 120)))
    first = {}
    for node in sorted(set(ends.ravel().tolist())):
        first.setdefault(wanted[node], f"n{node:03d}")
    assert found == {f"n{node:03d}": first[wanted[node]] for node in set(ends.ravel().tolist())}


@pytest.mark.parametrize("most_on_the_driver", [components.MOST_PAIRS_ON_THE_DRIVER, 0])
def test_a_group_is_named_for_its_first_subject(spark, monkeypatch, most_on_the_driver):
    monkeypatch.setattr(components, "MOST_PAIRS_ON_THE_DRIVER", most_on_the_driver)
    assert group_of(spark, []) == {}
    assert group_of(spark, [("3", "2"), ("1", "2"), ("5", "4")]) == {
        "1": "1",
        "2": "1",
        "3": "1",
        "4": "4",
        "5": "4",
    }


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
def real_sharing(spark, real_rows, real_sets):
    """What decoding the labelled images would tell."""
    copies = tuple(
        tuple(Copy(source, Kind.of(real_rows[source])) for source in members)
        for members in real_sets
        if all(real_rows[source].status == LISTED for source in members)
    )
    joined = {pair for members in copies for pair in pairwise(sorted({copy.kind.subject for copy in members}))}
    return Sharing(copies, group_of(spark, sorted(joined)))


@needs_manifest
@needs_sample
def test_the_106_identical_pairs_of_the_real_data(real_rows, real_sets, real_sharing):
    pairs = [pair for members in real_sets for pair in combinations(members, 2)]
    assert len(pairs) == 106
    # Two of the pairs lie within the final test set, the others within the training folds.
    assert sum(real_rows[one].status == real_rows[other].status == UNLABELLED for one, other in pairs) == 2
    pairs = [(real_rows[one], real_rows[other]) for one, other in pairs if real_rows[one].status == LISTED]
    assert sum(one.subject != other.subject for one, other in pairs) == 99
    assert sum(one.fold != other.fold for one, other in pairs) == 94

    group = real_sharing.group_of
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
def test_no_strategy_leaves_a_copy_on_two_sides_of_the_real_data(real_rows, real_sharing, split):
    rows = [row for row in real_rows.values() if row.status == LISTED]
    assert len(rows) == 12528
    kinds = Counter(map(Kind.of, rows))
    placement = decide(kinds, EtlOptions.of(split=split), CNMC_CLASS_NAMES, sharing=real_sharing)
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
