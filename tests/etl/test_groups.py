import csv
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components as reference_components

from etl.groups import connected_components, near_duplicates, with_groups
from etl.layouts.cnmc import rows_of
from etl.leakage import copies
from etl.options import EtlOptions
from etl.placing import place
from etl.rows import LISTED, UNLABELLED
from etl.sources import SourceFile
from hvdcells.schema import CNMC_CLASS_NAMES
from tests.etl.cells import FULL_MANIFEST, SAMPLE, needs_manifest, needs_sample

pytestmark = pytest.mark.spark


@pytest.fixture(autouse=True)
def few_rows(spark):
    from etl.frames import settings_for

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


def test_subjects_that_share_pixels_are_one_group(spark):
    rows = [("a", "1", "x"), ("b", "2", "x"), ("c", "2", "y"), ("d", "3", "y"), ("e", "4", "z"), ("f", "4", "z")]
    images = spark.createDataFrame(rows, "source string, subject string, content_hash string")
    groups = {row.source: row.group for row in with_groups(images).collect()}
    assert groups == {"a": "1", "b": "1", "c": "1", "d": "1", "e": "4", "f": "4"}
    near = spark.createDataFrame([("1", "4")], "subject_a string, subject_b string")
    assert {row.group for row in with_groups(images, near).collect()} == {"1"}


def test_near_duplicates_are_those_within_some_bits_and_not_the_identical(spark):
    def signed(value):
        return value - 2**64 if value >= 2**63 else value

    base = 0xF0F0_1234_5678_9ABC
    rows = [
        ("a", "1", "h1", signed(base)),
        ("b", "2", "h2", signed(base ^ (1 << 63))),
        ("c", "3", "h3", signed(base ^ 0b11)),
        ("d", "4", "h1", signed(base)),
        ("e", "5", "h5", signed(~base & (2**64 - 1))),
    ]
    images = spark.createDataFrame(rows, "source string, subject string, content_hash string, perceptual_hash long")

    def pairs(bits):
        return {(row.source_a, row.source_b) for row in near_duplicates(images, bits).collect()}

    assert pairs(0) == set()
    assert pairs(1) == {("a", "b"), ("b", "d")}
    assert pairs(2) == {("a", "b"), ("b", "d"), ("a", "c"), ("c", "d")}
    assert pairs(3) == pairs(2) | {("b", "c")}


@pytest.fixture(scope="module")
def real_images(spark):
    """All images of the real data, with the hash of the file in place of that of the pixels.

    An image of the final test set has no known subject: each is its own.
    """
    with (SAMPLE / "validation_data" / "C-NMC_test_prelim_phase_data_labels.csv").open() as file:
        labels = {line["new_names"]: (line["Patient_ID"], line["labels"]) for line in csv.DictReader(file)}
    with FULL_MANIFEST.open() as file:
        lines = [line for line in csv.DictReader(file, delimiter="\t") if line["path"].endswith(".bmp")]
    files = [SourceFile(line["path"], int(line["bytes"]), line["sha256"]) for line in lines]
    rows = [
        (
            row.status,
            row.source,
            row.subject or row.source,
            row.label,
            row.class_name,
            row.official_split,
            row.fold,
            row.fingerprint,
        )
        for row in rows_of(files, labels)
    ]
    ddl = (
        "status string, source string, subject string, label int, class_name string, official_split string, fold int, "
        "content_hash string"
    )
    frame = spark.createDataFrame(rows, ddl).persist()
    yield frame
    frame.unpersist()


@needs_manifest
@needs_sample
def test_the_106_identical_pairs_of_the_real_data(spark, real_images):
    rows = {row.source: row for row in real_images.collect()}
    sets = copies(real_images.withColumnRenamed("official_split", "split"))
    pairs = [(one[0], other[0]) for members in sets for one in members for other in members if one[0] < other[0]]
    assert len(pairs) == 106
    # Two of the pairs lie within the final test set, the others within the training folds.
    assert sum(rows[one].status == rows[other].status == UNLABELLED for one, other in pairs) == 2
    pairs = [pair for pair in pairs if rows[pair[0]].status == LISTED]
    assert sum(rows[one].subject != rows[other].subject for one, other in pairs) == 99
    assert sum(rows[one].fold != rows[other].fold for one, other in pairs) == 94

    grouped = with_groups(real_images).collect()
    group_of = {row.subject: row.group for row in grouped}
    assert all(group_of[rows[one].subject] == group_of[rows[other].subject] for one, other in pairs)
    joined = defaultdict(set)
    for subject, group in group_of.items():
        joined[group].add(subject)
    several = sorted(tuple(sorted(members)) for members in joined.values() if len(members) > 1)
    assert ("20", "21") in several
    assert ("51", "75", "78") in several
    assert ("H10", "H3") in several
    assert ("H2", "H4", "H5", "H6") in several


@needs_manifest
@needs_sample
@pytest.mark.parametrize("split", ["official", "grouped", "k-fold"])
def test_no_strategy_leaves_a_copy_on_two_sides_of_the_real_data(spark, real_images, split):
    options = EtlOptions.of(split=split)
    placed = place(with_groups(real_images.where(f"status = '{LISTED}'")), options, CNMC_CLASS_NAMES).collect()
    assert len(placed) == 12528
    kept = [row for row in placed if not row.dropped]
    side = (lambda row: (row.split, row.fold)) if split == "k-fold" else (lambda row: row.split)
    for key in ("subject", "content_hash", *(() if split == "official" else ("group",))):
        sides = defaultdict(set)
        for row in kept:
            sides[row[key]].add(side(row))
        assert max(map(len, sides.values())) == 1, key
    counts = Counter(row.split for row in kept)
    if split == "official":
        dropped = [row for row in placed if row.dropped]
        assert {row.split for row in dropped} == {"train"}
        assert counts["validation"] == 3553
        assert counts["test"] == 1867
        assert counts["train"] + len(dropped) == 7108
        assert all(row.dropped == "the same pixels are also in validation" for row in dropped)
    if split == "grouped":
        assert len(kept) == 12528
        for label in (0, 1):
            per_split = Counter(row.split for row in kept if row.label == label)
            assert abs(per_split["train"] / per_split.total() - 0.7) < 0.05
    if split == "k-fold":
        folds = Counter((row.fold, row.label) for row in kept if row.split == "train")
        assert len(folds) == 10
        assert counts["test"] == 1867
