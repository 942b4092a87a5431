import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from hvdcells.scores.classification import POSITIVE_SCORE_NAMES, SCORE_NAMES, classification_scores, score_range
from hvdcells.scores.intervals import bootstrap_intervals, exact_interval, proportion_intervals
from hvdcells.scores.scorer import CLASS_SCORE_NAMES, Scorer, called


def of_two(second):
    """Probabilities of two classes from that of the second."""
    return np.column_stack([1 - np.asarray(second), second])


def intervals_of_two(units, labels, second, **options):
    return bootstrap_intervals(units, labels, of_two(second), (1,), **options).overall


NAMES = {*SCORE_NAMES, *POSITIVE_SCORE_NAMES}


@given(st.data(), st.integers(2, 5))
def test_weighted_scores_are_those_of_repeated_rows(data, num_classes):
    amounts = st.lists(st.integers(0, 3), min_size=num_classes, max_size=num_classes).filter(any)
    row = st.tuples(st.integers(0, num_classes - 1), amounts, st.integers(0, 3))
    rows = data.draw(st.lists(row, min_size=2, max_size=30).filter(lambda rows: any(times for *_, times in rows)))
    labels, amounts, weights = (np.array(column) for column in zip(*rows, strict=True))
    probabilities = amounts / amounts.sum(1, keepdims=True)
    if {*labels[weights > 0]} != {*labels}:
        return  # a class that was not drawn is left out; see below
    expected = Scorer(np.repeat(labels, weights), np.repeat(probabilities, weights, axis=0), (1,)).scores()
    found = Scorer(labels, probabilities, (1,)).scores(weights)
    assert found.overall == pytest.approx(expected.overall, nan_ok=True)
    np.testing.assert_array_equal(found.confusion, expected.confusion)
    for name in CLASS_SCORE_NAMES:
        np.testing.assert_allclose(found.per_class[name], expected.per_class[name])


def test_intervals_come_from_subjects_not_images():
    rng = np.random.default_rng(0)
    # Ten subjects, each wholly right or wholly wrong: images add no information beyond their subject.
    subjects = np.repeat([f"s{i}" for i in range(10)], 50)
    labels = np.repeat([0, 1] * 5, 50)
    right = np.repeat([1, 1, 1, 0, 1, 1, 0, 1, 1, 1], 50)
    probabilities = np.where(right == labels, 0.9, 0.1) * 0.99 + 0.01 * rng.random(500)
    low, high = intervals_of_two(subjects.tolist(), labels, probabilities)["accuracy"]
    by_image = intervals_of_two([str(i) for i in range(500)], labels, probabilities)["accuracy"]
    assert high - low > 3 * (by_image[1] - by_image[0])
    accuracy = np.mean((probabilities >= 0.5) == labels)
    assert low <= accuracy <= high


def test_no_intervals_where_a_class_has_one_subject():
    intervals = intervals_of_two(["a", "b", "c"], np.array([0, 0, 1]), np.array([0.1, 0.2, 0.9]))
    assert set(intervals) == NAMES
    assert all(value is None for value in intervals.values())


def rows_of_subjects(sizes, labels, probabilities):
    """Images of subjects with so many images each, one label each."""
    subjects = np.repeat(np.arange(len(sizes)), sizes).astype(str)
    return subjects.tolist(), np.repeat(labels, sizes), np.array(probabilities)[: len(subjects)]


few_subjects = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 1)), min_size=2, max_size=8)


@settings(deadline=None)
@given(few_subjects, st.lists(st.floats(0, 1), min_size=40, max_size=40))
def test_a_bootstrap_interval_lies_in_0_to_1_and_has_a_width(rows, probabilities):
    sizes, labels = zip(*rows, strict=True)
    subjects, labels, probabilities = rows_of_subjects(sizes, labels, probabilities)
    intervals = intervals_of_two(subjects, labels, probabilities, resamples=40)
    assert set(intervals) == NAMES
    for name, interval in intervals.items():
        least, largest = score_range(name)
        assert interval is None or least - 1e-9 <= interval[0] < interval[1] <= largest + 1e-9


@pytest.mark.parametrize("seed", range(20))
def test_a_bootstrap_interval_holds_the_score(seed):
    rng = np.random.default_rng(seed)
    sizes, labels = rng.integers(1, 9, 12), np.arange(12) % 2
    probabilities = np.clip(0.3 * np.repeat(labels, sizes) + rng.normal(0.35, 0.2, sizes.sum()), 0, 1)
    subjects, labels, probabilities = rows_of_subjects(sizes, labels, probabilities)
    scores = classification_scores(labels, of_two(probabilities), (1,))
    for name, interval in intervals_of_two(subjects, labels, probabilities).items():
        assert interval is None or interval[0] - 1e-9 <= scores[name] <= interval[1] + 1e-9, name


def exact_intervals_of_two(matrix):
    return proportion_intervals({"confusion_matrix": matrix, "positive_confusion_matrix": matrix}).overall


def test_no_error_leaves_doubt_by_subject_and_no_interval_of_a_bootstrap():
    subjects, labels, probabilities = [*"aabbccddeeff"], np.repeat([0, 1], 6), np.repeat([0.1, 0.9], 6)
    intervals = intervals_of_two(subjects, labels, probabilities)
    assert all(interval is None for interval in intervals.values())
    # Three of three: the lower bound p solves p³ = 0.025.
    intervals = exact_intervals_of_two([[3, 0], [0, 3]])
    assert intervals["sensitivity"] == intervals["specificity"] == intervals["precision"]
    assert intervals["sensitivity"] == pytest.approx((0.025 ** (1 / 3), 1))
    assert intervals["accuracy"] == pytest.approx((0.025 ** (1 / 6), 1))


def test_a_score_that_is_the_same_in_all_resamples_has_no_interval_although_it_is_not_perfect():
    # Of every subject one image of three is wrong.
    subjects, labels = [*"aaabbbcccddd"], np.repeat([0, 1], 6)
    probabilities = np.array([0.1, 0.1, 0.9] * 2 + [0.9, 0.9, 0.1] * 2)
    intervals = intervals_of_two(subjects, labels, probabilities)
    assert intervals["accuracy"] is None
    assert intervals["sensitivity"] is None
    assert intervals["macro_f1"] is not None  # what is called cancer also depends on how many are healthy


@settings(deadline=None)
@given(st.data(), st.integers(1, 30))
def test_an_exact_interval_lies_in_0_to_1_and_holds_the_proportion(data, trials):
    successes = data.draw(st.integers(0, trials))
    low, high = exact_interval(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    assert low < high


@settings(deadline=None)
@given(st.data(), st.integers(1, 12))
def test_the_bounds_of_an_exact_interval_are_where_the_binomial_tails_are_a_fortieth(data, trials):
    successes = data.draw(st.integers(0, trials))
    low, high = exact_interval(successes, trials)
    assert low == 0 if successes == 0 else binom.sf(successes - 1, trials, low) == pytest.approx(0.025)
    assert high == 1 if successes == trials else binom.cdf(successes, trials, high) == pytest.approx(0.025)


@settings(deadline=None)
@given(st.integers(1, 12), st.floats(0, 1))
def test_whatever_the_true_proportion_an_exact_interval_holds_it_in_95_percent_of_samples(trials, truth):
    held = 0.0
    for successes in range(trials + 1):
        low, high = exact_interval(successes, trials)
        if low <= truth <= high:
            held += math.comb(trials, successes) * truth**successes * (1 - truth) ** (trials - successes)
    assert held >= 0.95 - 1e-9


def test_what_is_not_counted_has_no_interval():
    assert exact_interval(0, 0) is None
    intervals = exact_intervals_of_two([[2, 0], [0, 0]])
    assert intervals["sensitivity"] is None
    assert intervals["precision"] is None
    assert intervals["accuracy"][1] == 1


def test_images_drawn_one_by_one_give_narrower_intervals_the_more_there_are():
    rng = np.random.default_rng(0)

    def width(images):
        labels = np.arange(images) % 2
        probabilities = np.clip(0.3 * labels + rng.normal(0.35, 0.2, images), 0, 1)
        low, high = intervals_of_two(range(images), labels, probabilities)["accuracy"]
        return high - low

    # Standard error √(p(1 − p)/n): four times the images, half the width.
    assert width(400) == pytest.approx(width(1600) * 2, rel=0.15)


def test_a_class_of_one_subject_has_no_interval_and_takes_none_from_the_others():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 0, 0, 1, 1, 1, 2], 8)
    subjects = np.repeat([*"abcdefg"], 8).tolist()
    probabilities = rng.dirichlet([1, 1, 1], len(labels)) * 0.8 + 0.2 * np.eye(3)[labels]
    found = bootstrap_intervals(subjects, labels, probabilities, (2,))
    assert all(interval is None for interval in found.per_class[2].values())
    assert all(found.overall[name] is None for name in POSITIVE_SCORE_NAMES), "one subject counts as ill"
    low, high = found.per_class[0]["average_precision"]
    assert 0 <= low < high <= 1
    scores = classification_scores(labels, probabilities)
    assert found.overall["log_loss"][0] < scores["log_loss"] < found.overall["log_loss"][1]


def test_a_class_whose_images_are_not_drawn_is_left_out_of_the_means():
    labels = np.array([0, 0, 1, 2])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    scores = Scorer(labels, probabilities).scores(np.array([1, 1, 1, 0]))
    assert scores.overall["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert np.isnan(scores.per_class["f1"][2])
    assert np.isnan(scores.per_class["precision"][2])


@pytest.mark.parametrize("seed", range(4))
def test_intervals_of_many_classes_of_few_subjects_hold_their_scores(seed):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(8), 24)
    subjects = [f"{label}-{number % 3}" for number, label in enumerate(labels)]
    probabilities = 0.75 * rng.dirichlet(np.full(8, 0.5), len(labels)) + 0.25 * np.eye(8)[labels]
    scores = classification_scores(labels, probabilities, (6, 7))
    found = bootstrap_intervals(subjects, labels, probabilities, (6, 7), resamples=300)
    for name, interval in found.overall.items():
        assert interval is None or interval[0] <= scores[name] <= interval[1], name
    right = pd.Series(called(probabilities) == labels).groupby(subjects).sum()
    for label, intervals in enumerate(found.per_class):
        for name, interval in intervals.items():
            assert interval is None or interval[0] <= scores["per_class"][label][name] <= interval[1], name
        if right[[f"{label}-{number}" for number in range(3)]].min() > 0:  # then any draw of the class has some right
            assert intervals["f1"][0] > 0


def test_exact_intervals_of_each_class_are_those_of_its_own_counts():
    matrix = [[3, 1, 0], [0, 2, 0], [1, 0, 0]]
    per_class = proportion_intervals({"confusion_matrix": matrix}).per_class
    assert [each["recall"] for each in per_class] == [exact_interval(3, 4), exact_interval(2, 2), exact_interval(0, 1)]
    assert [each["precision"] for each in per_class] == [exact_interval(3, 4), exact_interval(2, 3), None]
