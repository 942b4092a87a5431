import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hvdcells.scores.prediction_table import (
    as_of_now,
    class_probabilities,
    mean_log_loss,
    prediction_table,
    probabilities_of,
)

NAMES = ("benign", "early", "pro")
logits = arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(2, 5)), elements=st.floats(-1e4, 1e4, width=32))


@given(logits)
def test_probabilities_are_a_softmax_without_overflow(drawn):
    probabilities = probabilities_of(drawn)
    assert np.all((probabilities >= 0) & (probabilities <= 1))
    assert probabilities.sum(1) == pytest.approx(np.ones(len(drawn)))
    moderate = drawn / 1e3
    expected = np.exp(moderate.astype(float)) / np.exp(moderate.astype(float)).sum(1, keepdims=True)
    np.testing.assert_allclose(probabilities_of(moderate), expected, rtol=1e-9)
    labels = np.zeros(len(drawn), int)
    assert np.isfinite(mean_log_loss(drawn, labels))
    assert mean_log_loss(moderate, labels) == pytest.approx(-np.log(expected[:, 0]).mean())


def test_a_column_for_each_class_in_order_beside_the_rows():
    rows = pd.DataFrame({"image_id": ["x", "y"], "label": [2, 0]})
    table = prediction_table(rows, np.array([[0, 0, 0], [1, 2, 3]], np.float32), NAMES)
    assert [*table] == ["image_id", "label", *(f"logit_{n}" for n in NAMES), *(f"probability_{n}" for n in NAMES)]
    assert table["logit_pro"].tolist() == [0, 3]
    assert class_probabilities(table, NAMES)[0] == pytest.approx([1 / 3] * 3)
    assert class_probabilities(table, NAMES)[1].argmax() == 2


def test_a_table_of_an_earlier_version_is_read_as_logits_of_nothing_and_z():
    earlier = pd.DataFrame({"image_id": ["x", "y"], "logit": np.float32([0.0, 2.0]), "probability": [0.5, 0.880797]})
    table = as_of_now(earlier, ("hem", "all"))
    assert [*table] == ["image_id", "logit_hem", "logit_all", "probability_hem", "probability_all"]
    assert table["logit_hem"].tolist() == [0, 0]
    expected = probabilities_of(table[["logit_hem", "logit_all"]].to_numpy())
    np.testing.assert_allclose(class_probabilities(table, ("hem", "all")), expected, atol=1e-6)
    assert as_of_now(table, ("hem", "all")) is table
