import numpy as np
import pandas as pd
import pytest

from hvdcells.scores.subjects import subject_predictions, subject_table

PREDICTIONS = pd.DataFrame(
    {
        "subject": ["b", "a", "b", "c", "c", "c"],
        "label": [0, 1, 0, 1, 1, 1],
        "probability": [0.2, 0.9, 0.6, 0.4, 0.4, 0.4],
    }
)


def test_subjects_come_cancer_first_with_what_their_images_say():
    table = subject_table(PREDICTIONS)
    assert table["subject"].tolist() == ["c", "a", "b"]
    assert table["label"].tolist() == [1, 1, 0]
    assert table["images"].tolist() == [3, 1, 2]
    assert table["probability"].tolist() == pytest.approx([0.4, 0.9, 0.4])
    assert table["called"].tolist() == [0, 1, 0]
    assert table["right"].tolist() == [0, 1, 0.5]


def test_intervals_hold_the_mean_and_have_no_width_where_images_agree():
    table = subject_table(PREDICTIONS).set_index("subject")
    assert table.loc["c", ["low", "high"]].tolist() == pytest.approx([0.4, 0.4])
    assert table.loc["b", ["low", "high"]].tolist() == pytest.approx([0.2, 0.6])
    many = pd.DataFrame({"subject": "s", "label": 1, "probability": np.linspace(0, 1, 200)})
    low, high = subject_table(many)[["low", "high"]].to_numpy()[0]
    # Normal approximation: 0.5 ± 1.96 · standard deviation of uniform / √200.
    assert (low, high) == pytest.approx((0.46, 0.54), abs=0.005)


def test_the_same_predictions_give_the_same_intervals():
    assert subject_table(PREDICTIONS).equals(subject_table(PREDICTIONS))


def test_a_subject_is_called_by_the_mean_of_its_images():
    frame = subject_predictions(
        ["b", "a", "b", "a", "b"], np.array([1, 0, 1, 0, 1]), np.array([0.9, 0.2, 0.3, 0.4, 0.6])
    )
    assert frame["subject"].tolist() == ["a", "b"]
    assert frame["label"].tolist() == [0, 1]
    assert frame["probability"].tolist() == pytest.approx([0.3, 0.6])
    assert frame["images"].tolist() == [2, 3]
