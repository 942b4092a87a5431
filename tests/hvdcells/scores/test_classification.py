"""Scores of any number of classes, against scikit-learn and by hand."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from hvdcells.scores.classification import (
    POSITIVE_SCORE_NAMES,
    SCORE_NAMES,
    classification_scores,
    score_label,
    score_names,
    score_range,
)
from hvdcells.scores.scorer import CLASS_SCORE_NAMES, called


def of_two(second):
    """Probabilities of two classes from that of the second."""
    return np.column_stack([1 - np.asarray(second), second])


@st.composite
def predictions(draw):
    """Labels and probabilities of 2–6 classes: often with ties, and often without a class or two."""
    num_classes, num_images = draw(st.integers(2, 6)), draw(st.integers(1, 30))
    there = draw(st.lists(st.integers(0, num_classes - 1), min_size=1, max_size=num_classes, unique=True))
    labels = draw(st.lists(st.sampled_from(there), min_size=num_images, max_size=num_images))
    # Few distinct amounts, so that images and classes are often equally probable.
    amounts = st.lists(st.integers(0, 4), min_size=num_classes, max_size=num_classes).filter(any)
    drawn = np.array(draw(st.lists(amounts, min_size=num_images, max_size=num_images)), float)
    return np.array(labels), drawn / drawn.sum(1, keepdims=True)


def same(found, expected):
    """None stands for what scikit-learn calls NaN."""
    if expected is None or np.isnan(expected):
        return found is None
    return found == pytest.approx(expected, abs=1e-9)


def test_scores_of_two_classes_worked_out_by_hand():
    # TN 1, FP 1, FN 1, TP 3: F1 of the second 6/8, of the first 2/4; weights 4 and 2 of 6 images.
    probabilities = of_two([0.1, 0.7, 0.4, 0.5, 0.8, 0.9])
    scores = classification_scores(np.array([0, 0, 1, 1, 1, 1]), probabilities, positive=(1,))
    assert scores["confusion_matrix"] == scores["positive_confusion_matrix"] == [[1, 1], [1, 3]]
    assert scores["positive_f1"] == pytest.approx(0.75)
    assert scores["macro_f1"] == pytest.approx(0.625)
    assert scores["weighted_f1"] == pytest.approx((4 * 0.75 + 2 * 0.5) / 6)
    assert scores["sensitivity"] == pytest.approx(0.75)
    assert scores["specificity"] == pytest.approx(0.5)
    assert scores["precision"] == pytest.approx(0.75)
    assert scores["balanced_accuracy"] == pytest.approx(0.625)
    assert scores["auroc"] == scores["positive_auroc"] == pytest.approx(6 / 8)  # pairs in the right order
    assert scores["kappa"] == pytest.approx((4 / 6 - 20 / 36) / (1 - 20 / 36))
    assert scores["matthews"] == pytest.approx((3 * 1 - 1 * 1) / np.sqrt(4 * 4 * 2 * 2))
    assert scores["brier_score"] == pytest.approx(np.mean((probabilities[:, 1] - [0, 0, 1, 1, 1, 1]) ** 2))


def test_three_stages_that_count_as_ill_make_a_test_for_illness():
    # An image may be called healthy as the likeliest of four and yet be more probably ill than not.
    labels = np.array([0, 0, 1, 2, 3])
    probabilities = np.array(
        [[0.4, 0.3, 0.2, 0.1], [0.7, 0.1, 0.1, 0.1], [0.6, 0.2, 0.1, 0.1], [0.1, 0.2, 0.6, 0.1], [0.2, 0.6, 0.1, 0.1]]
    )
    scores = classification_scores(labels, probabilities, positive=(1, 2, 3))
    assert scores["positive_confusion_matrix"] == [[1, 1], [1, 2]]
    assert scores["sensitivity"] == pytest.approx(2 / 3)
    assert scores["specificity"] == pytest.approx(1 / 2)
    # Probabilities of illness: 0.6 and 0.3 of healthy ones; 0.4, 0.9 and 0.8 of ill ones.
    assert scores["positive_auroc"] == pytest.approx(5 / 6)
    assert scores["confusion_matrix"][3] == [0, 1, 0, 0]
    assert [each["images"] for each in scores["per_class"]] == [2, 1, 1, 1]


@given(predictions())
def test_calls_and_scores_are_those_of_scikit_learn(drawn):
    labels, probabilities = drawn
    num_classes = probabilities.shape[1]
    classes = list(range(num_classes))
    scores = classification_scores(labels, probabilities)
    calls = called(probabilities)
    assert np.all(probabilities[np.arange(len(labels)), calls] == probabilities.max(1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert scores["confusion_matrix"] == metrics.confusion_matrix(labels, calls, labels=classes).tolist()
        assert same(scores["weighted_f1"], metrics.f1_score(labels, calls, average="weighted"))
        assert same(scores["macro_f1"], metrics.f1_score(labels, calls, average="macro"))
        assert same(scores["accuracy"], metrics.accuracy_score(labels, calls))
        assert same(scores["balanced_accuracy"], metrics.balanced_accuracy_score(labels, calls))
        assert same(scores["kappa"], metrics.cohen_kappa_score(labels, calls))
        expected = metrics.matthews_corrcoef(labels, calls) if len(set(labels.tolist())) > 1 else None
        assert same(scores["matthews"], expected)
        assert same(scores["log_loss"], metrics.log_loss(labels, probabilities, labels=classes))
        brier = metrics.brier_score_loss(np.eye(num_classes)[labels], probabilities, scale_by_half=True)
        assert same(scores["brier_score"], brier)


@given(predictions())
def test_each_class_against_the_rest_is_as_scikit_learn_has_it(drawn):
    labels, probabilities = drawn
    scores, calls = classification_scores(labels, probabilities), called(probabilities)
    areas, precisions = [], []
    for label, of_class in enumerate(scores["per_class"]):
        is_class, is_called, given = labels == label, calls == label, probabilities[:, label]
        assert of_class["images"] == is_class.sum()
        there, touched = bool(is_class.any()), bool(is_class.any() or is_called.any())
        area = metrics.roc_auc_score(is_class, given) if there and not is_class.all() else None
        average = metrics.average_precision_score(is_class, given) if there else None
        assert same(of_class["recall"], metrics.recall_score(is_class, is_called) if there else None)
        precision = metrics.precision_score(is_class, is_called, zero_division=0) if touched else None
        assert same(of_class["precision"], precision)
        assert same(of_class["f1"], metrics.f1_score(is_class, is_called, zero_division=0) if touched else None)
        assert same(of_class["auroc"], area)
        assert same(of_class["average_precision"], average)
        areas.append(area)
        precisions.append(average)
    defined = [area for area in areas if area is not None]
    assert same(scores["auroc"], np.mean(defined) if defined else None)
    assert same(scores["average_precision"], np.mean([each for each in precisions if each is not None]))
    if len(set(labels.tolist())) == probabilities.shape[1] > 2:
        assert same(scores["auroc"], metrics.roc_auc_score(labels, probabilities, multi_class="ovr"))


@given(predictions(), st.data())
def test_the_test_for_illness_is_as_scikit_learn_has_it(drawn, data):
    labels, probabilities = drawn
    classes = range(probabilities.shape[1])
    positive = data.draw(st.lists(st.sampled_from(classes), min_size=1, max_size=len(classes) - 1, unique=True))
    scores = classification_scores(labels, probabilities, positive)
    is_ill, given = np.isin(labels, positive), np.minimum(probabilities[:, positive].sum(1), 1)
    calls = given >= 0.5
    expected = metrics.confusion_matrix(is_ill, calls, labels=[False, True])
    assert scores["positive_confusion_matrix"] == expected.tolist()
    assert same(scores["sensitivity"], metrics.recall_score(is_ill, calls) if is_ill.any() else None)
    assert same(scores["specificity"], metrics.recall_score(~is_ill, ~calls) if not is_ill.all() else None)
    assert same(scores["precision"], metrics.precision_score(is_ill, calls, zero_division=0))
    area = metrics.roc_auc_score(is_ill, given) if 0 < is_ill.sum() < len(is_ill) else None
    assert same(scores["positive_auroc"], area)


@given(predictions())
def test_scores_stay_in_their_range_and_there_is_one_of_each_name(drawn):
    labels, probabilities = drawn
    scores = classification_scores(labels, probabilities, positive=(1,))
    for name in (*SCORE_NAMES, *POSITIVE_SCORE_NAMES):
        least, largest = score_range(name)
        assert scores[name] is None or least - 1e-12 <= scores[name] <= largest + 1e-12
    assert all(set(each) == {"images", *CLASS_SCORE_NAMES} for each in scores["per_class"])
    assert (scores["auroc"] is None) == (len(set(labels.tolist())) == 1)
    assert (scores["sensitivity"] is None) == (1 not in labels)
    assert np.sum(scores["confusion_matrix"]) == len(labels)


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=40))
def test_two_classes_are_a_test_for_the_second_from_a_probability_of_a_half_on(rows):
    labels, second = (np.array(column) for column in zip(*rows, strict=True))
    scores = classification_scores(labels, of_two(second), positive=(1,))
    assert scores["confusion_matrix"] == scores["positive_confusion_matrix"]
    assert np.array_equal(called(of_two(second)), second >= 0.5) or np.any(np.abs(second - 0.5) < 1e-9)
    assert scores["positive_auroc"] == scores["auroc"] == scores["per_class"][0]["auroc"]
    if scores["auroc"] is not None:
        assert scores["auroc"] == pytest.approx(metrics.roc_auc_score(labels, second))


def test_an_image_of_a_half_and_a_half_is_called_the_second():
    assert called(of_two([0.5])).tolist() == [1]
    assert called(np.array([[0.25, 0.25, 0.25, 0.25], [0.4, 0.4, 0.1, 0.1]])).tolist() == [3, 1]


def test_a_class_that_is_neither_there_nor_called_counts_in_no_mean():
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]])
    scores = classification_scores(np.array([0, 1, 1]), probabilities)
    assert scores["macro_f1"] == pytest.approx(2 / 3)  # 2/3 of the first, 2/3 of the second
    assert scores["per_class"][2] == {"images": 0, **dict.fromkeys(CLASS_SCORE_NAMES)}


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [
        ([], np.empty((0, 2))),
        ([0, 1], [[0.5, 0.5]]),
        ([0, 1], [0.5, 0.5]),
        ([0, 1], [[0.5, 0.5], [0.5, np.nan]]),
        ([0, 1], [[0.5, 0.5], [1.5, -0.5]]),
        ([0, 1], [[0.5, 0.5], [0.3, 0.3]]),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]]),
        ([0, -1], [[0.5, 0.5], [0.5, 0.5]]),
        ([0, 0.5], [[0.5, 0.5], [0.5, 0.5]]),
    ],
)
def test_wrong_input_is_refused(labels, probabilities):
    with pytest.raises(ValueError):  # noqa: PT011 - each case has its own words
        classification_scores(np.array(labels), np.array(probabilities))


def test_what_is_shown_and_what_it_is_called():
    assert "sensitivity" in score_names(2, ("all",))
    assert "positive_auroc" not in score_names(2, ("all",)), "it is the AUROC"
    assert "positive_auroc" in score_names(4, ("early", "pre"))
    assert "sensitivity" not in score_names(4, ())
    assert score_label("auroc", 2) == "AUROC"
    assert score_label("auroc", 4) == "macro AUROC"
    assert score_label("positive_f1", 4, ("early", "pre")) == "F1 of early + pre"
