import numpy as np
import pandas as pd
import pytest

from hvdcells.scores.subjects import subject_predictions, subject_table

PREDICTIONS = pd.DataFrame({"subject": ["b", "a", "b", "c", "c", "c"], "label": [0, 1, 0, 1, 1, 1]})
SECOND = np.array([0.2, 0.9, 0.6, 0.4, 0.4, 0.4])


def of_two(second):
    return np.column_stack([1 - np.asarray(second), second])


def table_of_two(watched=1):
    return subject_table(PREDICTIONS, of_two(SECOND), watched)


def test_subjects_of_the_last_class_come_first_with_what_their_images_say():
    table = table_of_two()
    assert table["subject"].tolist() == ["c", "a", "b"]
    assert table["label"].tolist() == [1, 1, 0]
    assert table["images"].tolist() == [3, 1, 2]
    assert table["probability"].tolist() == pytest.approx([0.4, 0.9, 0.4])
    assert table["own"].tolist() == pytest.approx([0.4, 0.9, 0.6])
    assert table["called"].tolist() == [0, 1, 0]
    assert table["right"].tolist() == [0, 1, 0.5]


def test_intervals_hold_the_mean_and_have_no_width_where_images_agree():
    table = table_of_two().set_index("subject")
    assert table.loc["c", ["low", "high"]].tolist() == pytest.approx([0.4, 0.4])
    assert table.loc["b", ["low", "high"]].tolist() == pytest.approx([0.2, 0.6])
    many = pd.DataFrame({"subject": ["s"] * 200, "label": 1})
    low, high = subject_table(many, of_two(np.linspace(0, 1, 200)), 1)[["low", "high"]].to_numpy()[0]
    # Normal approximation: 0.5 ± 1.96 · standard deviation of uniform / √200.
    assert (low, high) == pytest.approx((0.46, 0.54), abs=0.005)


def test_the_same_predictions_give_the_same_intervals():
    assert table_of_two().equals(table_of_two())


def test_of_many_classes_the_probability_told_is_that_of_the_own_class():
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.3, 0.3, 0.4]])
    frame = pd.DataFrame({"subject": ["x", "y", "y"], "label": [0, 2, 2]})
    table = subject_table(frame, probabilities, None).set_index("subject")
    assert table.loc["x", "probability"] == table.loc["x", "own"] == pytest.approx(0.5)
    assert table.loc["y", "probability"] == pytest.approx(0.55)
    assert table.loc["y", ["low", "high"]].tolist() == pytest.approx([0.4, 0.7])


def test_a_subject_is_called_by_the_mean_of_its_images():
    frame, means = subject_predictions(["b", "a", "b", "a", "b"], [1, 0, 1, 0, 1], of_two([0.9, 0.2, 0.3, 0.4, 0.6]))
    assert frame["subject"].tolist() == ["a", "b"]
    assert frame["label"].tolist() == [0, 1]
    assert means[:, 1].tolist() == pytest.approx([0.3, 0.6])
    assert frame["images"].tolist() == [2, 3]
    assert not frame["mixed"].any()


def test_a_subject_with_images_of_several_classes_is_of_the_class_of_most_and_said_to_be_mixed():
    labels = [0, 1, 2, 2, 0, 1]
    frame, _ = subject_predictions([*"aaaabb"], labels, np.full((6, 3), 1 / 3))
    assert frame["label"].tolist() == [2, 1]  # of as many the last
    assert frame["mixed"].tolist() == [True, True]
