import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.placement.balance import assign_groups


def one_class_groups(draw_counts):
    counts = np.zeros((len(draw_counts), 2), int)
    for index, (label, number) in enumerate(draw_counts):
        counts[index, label] = number
    return counts


GROUPS = st.lists(st.tuples(st.integers(0, 1), st.integers(1, 400)), min_size=8, max_size=60)


@settings(deadline=None, max_examples=200)
@given(GROUPS, st.sampled_from([(0.7, 0.15, 0.15), (0.5, 0.5, 0.0), (0.2,) * 5]), st.integers(0, 9))
def test_every_part_gets_each_class_when_there_are_groups_enough(groups, proportions, seed):
    counts = one_class_groups(groups)
    proportions = np.array(proportions)
    parts = assign_groups(counts, proportions, np.random.default_rng(seed).permutation(len(counts)))
    assert parts.shape == (len(counts),)
    open_parts = np.flatnonzero(proportions > 0)
    assert set(parts) <= set(open_parts)
    for label in range(2):
        if (counts[:, label] > 0).sum() >= len(open_parts):
            with_class = {part for part, count in zip(parts, counts[:, label], strict=True) if count}
            assert with_class == set(open_parts)


@settings(deadline=None, max_examples=200)
@given(st.data(), st.integers(2, 8), st.integers(0, 9))
def test_every_part_gets_each_of_many_classes_when_groups_hold_one(data, num_classes, seed):
    labels = data.draw(st.permutations([label for label in range(num_classes) for _ in range(3)]))
    sizes = data.draw(st.lists(st.integers(1, 400), min_size=len(labels), max_size=len(labels)))
    counts = np.eye(num_classes, dtype=int)[labels] * np.array(sizes)[:, None]
    parts = assign_groups(counts, np.array([0.7, 0.15, 0.15]), np.random.default_rng(seed).permutation(len(counts)))
    assert all(counts[parts == part].sum(axis=0).all() for part in range(3))


@pytest.mark.parametrize("seed", range(20))
def test_subjects_of_several_stages_are_stratified_by_all_classes(seed):
    rng = np.random.default_rng(seed)
    # Of 40 subjects, 14 have the first class only, the others one to three of the other three.
    counts = np.zeros((40, 4), int)
    counts[:14, 0] = rng.integers(10, 30, 14)
    for subject in range(14, 40):
        stages = rng.choice([1, 2, 3], rng.integers(1, 4), replace=False)
        counts[subject, stages] = rng.integers(5, 20, len(stages))
    proportions = np.array([0.7, 0.15, 0.15])
    parts = assign_groups(counts, proportions, rng.permutation(40))
    shares = np.array([counts[parts == part].sum(axis=0) for part in range(3)]) / counts.sum(axis=0)
    assert np.abs(shares - proportions[:, None]).max() < 0.12


@settings(deadline=None, max_examples=100)
@given(GROUPS, st.integers(0, 9))
def test_the_order_of_groups_does_not_matter(groups, seed):
    counts = one_class_groups(groups)
    order = np.arange(len(counts))
    shuffled = np.random.default_rng(seed).permutation(len(counts))
    proportions = np.array([0.7, 0.15, 0.15])
    parts = assign_groups(counts, proportions, order)
    again = assign_groups(counts[shuffled], proportions, order[shuffled])
    assert (parts[shuffled] == again).all()


@pytest.mark.parametrize("seed", range(5))
def test_shares_come_close_with_many_groups(seed):
    rng = np.random.default_rng(seed)
    counts = np.zeros((300, 2), int)
    labels = rng.random(300) < 0.3
    counts[np.arange(300), labels.astype(int)] = rng.integers(1, 60, 300)
    proportions = np.array([0.7, 0.15, 0.15])
    parts = assign_groups(counts, proportions, rng.permutation(300))
    shares = np.array([counts[parts == part].sum(axis=0) for part in range(3)]) / counts.sum(axis=0)
    assert np.abs(shares - proportions[:, None]).max() < 0.03


def test_groups_of_both_classes_are_stratified_too():
    counts = np.array([[10, 30], [30, 10], [20, 20], [10, 30], [30, 10], [20, 20]])
    parts = assign_groups(counts, np.array([0.5, 0.5]), np.arange(6))
    totals = np.array([counts[parts == part].sum(axis=0) for part in range(2)])
    assert np.abs(totals - 60).max() <= 10
