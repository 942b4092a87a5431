"""Temperature, thresholds, refer band and subject rules, against values worked out another way."""

import numpy as np
import pytest

from hvdcells.errors import UserError
from hvdcells.scores.decision import (
    Decision,
    decide,
    fit_temperature,
    refer_band,
    threshold_table,
)
from hvdcells.scores.decision_scores import expected_calibration_error, judge
from hvdcells.scores.prediction_table import mean_log_loss
from hvdcells.scores.prediction_table import probabilities_of as softmax

NAMES = ("hem", "all")


def drawn(num=4000, num_classes=2, temperature=1.0, seed=0):
    """Logits that are too large by a temperature, and labels drawn from what they would be without."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 2, (num, num_classes))
    labels = (softmax(true).cumsum(axis=1) > rng.uniform(size=(num, 1))).argmax(axis=1)
    return true * temperature, labels, [f"s{number}" for number in rng.integers(0, 20, num)]


@pytest.mark.parametrize("num_classes", [2, 3, 5])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_logits_are_too_large_by_is_found_and_calibrates(num_classes, temperature):
    logits, labels, _ = drawn(20_000, num_classes, temperature)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(temperature, rel=0.05)
    for other in (found * 0.98, found * 1.02):
        assert mean_log_loss(logits / found, labels) < mean_log_loss(logits / other, labels)
    if temperature != 1:
        before, after = (expected_calibration_error(softmax(logits / each), labels) for each in (1.0, found))
        assert after < before / 3


def test_images_that_are_all_called_right_tell_no_temperature():
    logits, labels = np.array([[0.0, 2.0], [0.0, -1.0]]), np.array([1, 0])
    assert fit_temperature(logits, labels) is None
    decision = decide(logits, labels, None, NAMES, ("all",))
    assert decision.temperature == 1
    assert "uncalibrated" in decision.notes[0]


def brute_force(is_ill, ill, threshold):
    called = ill >= threshold
    sensitivity, specificity = (called & is_ill).sum() / is_ill.sum(), (~called & ~is_ill).sum() / (~is_ill).sum()
    right = {kind: (called[is_ill == kind] == kind).sum() for kind in (True, False)}
    f1 = {kind: 2 * right[kind] / ((called == kind).sum() + (is_ill == kind).sum()) for kind in (True, False)}
    return sensitivity, specificity, is_ill.mean() * f1[True] + (~is_ill).mean() * f1[False]


@pytest.mark.parametrize("ties", [False, True])
def test_each_threshold_of_the_table_scores_as_counting_says(ties):
    logits, labels, _ = drawn(60)
    ill = softmax(logits)[:, 1]
    if ties:
        ill = np.round(ill, 1)  # also probabilities of exactly 0 and 1
    table = threshold_table(labels == 1, ill)
    for row in table.itertuples():
        expected = brute_force(labels == 1, ill, row.threshold)
        assert (row.sensitivity, row.specificity, row.weighted_f1) == pytest.approx(expected)


def test_thresholds_are_the_best_and_those_asked_for():
    logits, labels, subjects = drawn(500)
    decision = decide(logits, labels, subjects, NAMES, ("all",), at_sensitivity=0.95)
    ill, is_ill = decision.ill(decision.probabilities(logits)), labels == 1
    scores = {name: brute_force(is_ill, ill, value) for name, value in decision.thresholds.items()}
    every = [brute_force(is_ill, ill, value) for value in np.linspace(0, 1, 101)]
    assert scores["weighted-f1"][2] >= max(each[2] for each in every)
    assert sum(scores["youden"][:2]) >= max(sum(each[:2]) for each in every)
    assert decision.chosen == "sensitivity-0.95"
    assert scores["sensitivity-0.95"][0] >= 0.95
    least = min((each for each in every if each[0] >= 0.95), key=lambda each: each[0])
    assert scores["sensitivity-0.95"][1] >= least[1]

    decision = decide(logits, labels, subjects, NAMES, ("all",), at_specificity=0.9)
    sensitivity, specificity, _ = brute_force(is_ill, decision.ill(decision.probabilities(logits)), decision.threshold)
    assert specificity >= 0.9
    assert sensitivity >= max(each[0] for each in every if each[1] >= 0.9)
    assert decide(logits, labels, subjects, NAMES, ("all",), choose="youden").threshold == decision.thresholds["youden"]
    with pytest.raises(UserError, match="the threshold nonsense"):
        decide(logits, labels, subjects, NAMES, ("all",), choose="nonsense")


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 1.0])
def test_the_refer_band_holds_the_share_nearest_to_the_threshold(share):
    logits, labels, _ = drawn(1000)
    decision = decide(logits, labels, None, NAMES, ("all",), refer_share=share, choose="youden")
    ill = decision.ill(decision.probabilities(logits))
    referred = decision.refers(ill)
    assert referred.mean() == pytest.approx(share, abs=0.002)
    if 0 < share < 1:
        assert decision.refer[0] < decision.threshold < decision.refer[1]
        # An image at the edge is as far from the threshold on one side as on the other.
        odds = [np.log(each / (1 - each)) for each in (decision.refer[0], decision.threshold, decision.refer[1])]
        assert odds[2] - odds[1] == pytest.approx(odds[1] - odds[0])


def test_thresholds_at_the_ends_refer_nothing():
    assert refer_band(np.array([0.1, 0.9]), 0.0, 0.5) == (0.0, 0.0)
    assert refer_band(np.array([0.1, 0.9]), 1.0, 0.5) == (1.0, 1.0)


@pytest.mark.parametrize("rule", ["mean", "median", "share", "top"])
def test_rules_from_images_to_subject(rule):
    decision = Decision(
        class_names=NAMES, positive_classes=("all",), temperature=1, thresholds={"0.5": 0.5}, chosen="0.5",
        refer=(0.5, 0.5), subject_rule=rule,
    )  # fmt: skip
    ill = np.array([0.1, 0.2, 0.9, *np.linspace(0, 0.95, 20)])
    values = decision.subject_values(["b"] * 3 + ["a"] * 20, ill)
    assert list(values.index) == ["a", "b"]
    expected = {"mean": 0.4, "median": 0.2, "share": 1 / 3, "top": 0.9}[rule]
    assert values["b"] == pytest.approx(expected)
    if rule == "top":  # a tenth of twenty
        assert values["a"] == pytest.approx(0.925)


def test_the_rule_that_calls_most_subjects_right_is_chosen():
    # Of the ill subject one image in ten shows it: only `top` sees that.
    ill = np.array([0.9, *[0.1] * 9, *[0.2] * 10])
    logits = np.stack([np.zeros(20), np.log(ill / (1 - ill))], axis=1)
    labels = np.array([1] * 10 + [0] * 10)
    assert decide(logits, labels, ["a"] * 10 + ["b"] * 10, NAMES, ("all",)).subject_rule == "top"
    even = np.array([0.9] * 10 + [0.2] * 10)
    logits = np.stack([np.zeros(20), np.log(even / (1 - even))], axis=1)
    assert decide(logits, labels, ["a"] * 10 + ["b"] * 10, NAMES, ("all",)).subject_rule == "mean"


def test_several_classes_come_down_to_ill_against_not_and_none_to_no_threshold():
    logits, labels, subjects = drawn(300, 4)
    decision = decide(logits, labels, subjects, ("a", "b", "c", "d"), ("b", "d"))
    probabilities = softmax(logits / decision.temperature)
    np.testing.assert_allclose(decision.ill(decision.probabilities(logits)), probabilities[:, 1] + probabilities[:, 3])
    none = decide(logits, labels, subjects, ("a", "b", "c", "d"), ())
    assert list(none.thresholds) == ["0.5"]
    assert "thresholds" not in judge(none, logits, labels, subjects, 0.1)
    with pytest.raises(UserError, match="a sensitivity or specificity"):
        decide(logits, labels, subjects, ("a", "b", "c", "d"), (), at_sensitivity=0.9)


def test_a_decision_is_judged_on_other_images_with_intervals_over_subjects():
    logits, labels, subjects = drawn(800, temperature=2)
    decision = decide(logits, labels, subjects, NAMES, ("all",), refer_share=0.2, choose="youden")
    other, truth, others = drawn(600, temperature=2, seed=1)
    judged = judge(decision, other, truth, others, 0.2)
    ill, is_ill = decision.ill(decision.probabilities(other)), truth == 1
    for name, threshold in decision.thresholds.items():
        scores = judged["thresholds"][name]
        expected = brute_force(is_ill, ill, threshold)
        assert (scores["sensitivity"], scores["specificity"], scores["weighted_f1"]) == pytest.approx(expected)
        for score in ("sensitivity", "weighted_f1", "referred", "errors_left"):
            low, high = scores["intervals"][score]
            assert low < scores[score] < high
    called = ill >= decision.threshold
    scores, referred = judged["thresholds"]["youden"], decision.refers(ill)
    assert scores["referred"] == pytest.approx(referred.mean())
    assert scores["errors_left"] == pytest.approx((called != is_ill)[~referred].mean())
    assert scores["errors_left"] < (called != is_ill).mean()
    assert judged["calibration"]["after"]["log_loss"] < judged["calibration"]["before"]["log_loss"]
    assert judged["by_subject"]["subjects"] == 20
    # Images of one subject that agree tell less: the interval over subjects is wider.
    alike = [f"s{number}" for number in np.argsort(np.argsort(ill)) // 60]
    wide = judge(decision, other, truth, alike, 0.2)["thresholds"]["youden"]["intervals"]["sensitivity"]
    narrow = judge(decision, other, truth, None, 0.2)["thresholds"]["youden"]["intervals"]["sensitivity"]
    assert wide[1] - wide[0] > narrow[1] - narrow[0]
