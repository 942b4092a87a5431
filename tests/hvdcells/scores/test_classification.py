import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score

from hvdcells.scores.classification import SCORE_NAMES, classification_scores

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


def test_agrees_with_scikit_learn_on_random_predictions():
    rng = np.random.default_rng(3)
    labels, probabilities = rng.integers(0, 2, 500), rng.random(500)
    scores = classification_scores(labels, probabilities)
    assert scores["weighted_f1"] == pytest.approx(f1_score(labels, probabilities >= 0.5, average="weighted"))
    assert scores["auroc"] == pytest.approx(roc_auc_score(labels, probabilities))
