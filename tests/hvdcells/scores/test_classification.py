import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score

from hvdcells.scores.classification import (
    SCORE_NAMES,
    _weighted_scores,
    bootstrap_intervals,
    classification_scores,
    subject_predictions,
)

predictions = st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=40)


def test_scores_worked_out_by_hand():
    # TN 1, FP 1, FN 1, TP 3: F1 of cancer 6/8, of healthy 2/4; weights 4 and 2 of 6 images.
    scores = classification_scores(np.array([0, 0, 1, 1, 1, 1]), np.array([0.1, 0.7, 0.4, 0.5, 0.8, 0.9]))
    assert scores["confusion_matrix"] == [[1, 1], [1, 3]]
    assert scores["cancer_f1"] == pytest.approx(0.75)
    assert scores["macro_f1"] == pytest.approx(0.625)
    assert scores["weighted_f1"] == pytest.approx((4 * 0.75 + 2 * 0.5) / 6)
    assert scores["sensitivity"] == pytest.approx(0.75)
    assert scores["specificity"] == pytest.approx(0.5)
    assert scores["precision"] == pytest.approx(0.75)
    assert scores["auroc"] == pytest.approx(6 / 8)  # pairs (healthy, cancer) in the right order


@given(predictions)
def test_scores_stay_in_range_and_undefined_ones_are_none(rows):
    labels, probabilities = (np.array(column) for column in zip(*rows, strict=True))
    scores = classification_scores(labels, probabilities)
    for name in SCORE_NAMES:
        assert scores[name] is None or 0 <= scores[name] <= 1
    assert (scores["auroc"] is None) == (len(set(labels.tolist())) == 1)
    assert (scores["sensitivity"] is None) == (1 not in labels)
    assert np.sum(scores["confusion_matrix"]) == len(rows)


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [([], []), ([0, 1], [0.5]), ([0, 1], [0.5, np.nan]), ([0, 1], [0.5, 1.5]), ([0, 2], [0.5, 0.5])],
)
def test_wrong_input_is_refused(labels, probabilities):
    with pytest.raises(ValueError):  # noqa: PT011 - each case has its own words
        classification_scores(np.array(labels), np.array(probabilities))


def test_a_subject_is_called_by_the_mean_of_its_images():
    frame = subject_predictions(
        ["b", "a", "b", "a", "b"], np.array([1, 0, 1, 0, 1]), np.array([0.9, 0.2, 0.3, 0.4, 0.6])
    )
    assert frame["subject"].tolist() == ["a", "b"]
    assert frame["label"].tolist() == [0, 1]
    assert frame["probability"].tolist() == pytest.approx([0.3, 0.6])
    assert frame["images"].tolist() == [2, 3]


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1), st.integers(0, 3)), min_size=2, max_size=30))
def test_weighted_scores_are_those_of_repeated_rows(rows):
    labels, probabilities, weights = (np.array(column) for column in zip(*rows, strict=True))
    repeated, repeated_probabilities = np.repeat(labels, weights), np.repeat(probabilities, weights)
    if len(set(repeated.tolist())) < 2:
        return
    expected = classification_scores(repeated, repeated_probabilities)
    levels = np.unique(probabilities, return_inverse=True)[1]
    scores = _weighted_scores(labels, probabilities, levels, weights)
    for name in SCORE_NAMES:
        assert scores[name] == pytest.approx(expected[name]), name


def test_intervals_come_from_subjects_not_images():
    rng = np.random.default_rng(0)
    # Ten subjects, each wholly right or wholly wrong: images add no information beyond their subject.
    subjects = np.repeat([f"s{i}" for i in range(10)], 50)
    labels = np.repeat([0, 1] * 5, 50)
    right = np.repeat([1, 1, 1, 0, 1, 1, 0, 1, 1, 1], 50)
    probabilities = np.where(right == labels, 0.9, 0.1) * 0.99 + 0.01 * rng.random(500)
    low, high = bootstrap_intervals(subjects.tolist(), labels, probabilities)["accuracy"]
    by_image = bootstrap_intervals([str(i) for i in range(500)], labels, probabilities)["accuracy"]
    assert high - low > 3 * (by_image[1] - by_image[0])
    accuracy = np.mean((probabilities >= 0.5) == labels)
    assert low <= accuracy <= high


def test_no_intervals_where_a_class_has_one_subject():
    intervals = bootstrap_intervals(["a", "b", "c"], np.array([0, 0, 1]), np.array([0.1, 0.2, 0.9]))
    assert set(intervals) == set(SCORE_NAMES)
    assert all(value is None for value in intervals.values())


def test_agrees_with_scikit_learn_on_random_predictions():
    rng = np.random.default_rng(3)
    labels, probabilities = rng.integers(0, 2, 500), rng.random(500)
    scores = classification_scores(labels, probabilities)
    assert scores["weighted_f1"] == pytest.approx(f1_score(labels, probabilities >= 0.5, average="weighted"))
    assert scores["auroc"] == pytest.approx(roc_auc_score(labels, probabilities))
    assert isinstance(subject_predictions(["a"] * 500, labels, probabilities), pd.DataFrame)
