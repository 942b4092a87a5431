import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from hvdcells.scores.curves import calibration, precision_recall_points, roc_points

LABELS = np.array([0, 0, 1, 1, 1, 1])
PROBABILITIES = np.array([0.05, 0.75, 0.45, 0.55, 0.85, 0.95])
predictions = st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=40)


def columns(rows):
    labels, probabilities = zip(*rows, strict=True)
    return np.array(labels), np.array(probabilities)


def test_calibration_worked_out_by_hand():
    # Two bins: (0.05, 0.45) with a share of 1/2, (0.75, 0.55, 0.85, 0.95) with 3/4.
    bins = calibration(LABELS, PROBABILITIES, num_bins=2)
    assert bins.images.tolist() == [2, 4]
    assert bins.mean_probability == pytest.approx([0.25, 0.775])
    assert bins.share == pytest.approx([0.5, 0.75])
    assert bins.expected_calibration_error == pytest.approx((2 * 0.25 + 4 * 0.025) / 6)


def test_a_sure_and_right_model_has_no_calibration_error_and_a_sure_and_wrong_one_has_all():
    labels = np.array([0, 1, 1])
    assert calibration(labels, labels.astype(float)).expected_calibration_error == 0
    assert calibration(labels, 1.0 - labels).expected_calibration_error == 1


@given(predictions)
def test_calibration_bins_are_those_of_scikit_learn(rows):
    labels, probabilities = columns(rows)
    # On an edge the two differ by definition; scikit-learn's bins are closed above, ours below.
    probabilities = np.clip(np.floor(probabilities * 100) / 100 + 0.005, 0, 1)
    bins = calibration(labels, probabilities)
    expected, mean = calibration_curve(labels, probabilities, n_bins=10, pos_label=1)
    assert bins.share == pytest.approx(expected)
    assert bins.mean_probability == pytest.approx(mean)
    assert bins.images.sum() == len(rows)
    assert 0 <= bins.expected_calibration_error <= 1


@given(predictions)
def test_roc_has_the_area_of_the_score_and_curves_of_one_class_are_none(rows):
    labels, probabilities = columns(rows)
    roc, precision_recall = roc_points(labels, probabilities), precision_recall_points(labels, probabilities)
    if len(set(labels.tolist())) == 1:
        assert roc is None
        assert precision_recall is None
        return
    assert auc(*roc) == pytest.approx(roc_auc_score(labels, probabilities))
    recall, precision = precision_recall
    assert (recall[0], recall[-1], precision[-1]) == (1, 0, 1)
    assert average_precision_score(labels, probabilities) == pytest.approx(-np.sum(np.diff(recall) * precision[:-1]))
