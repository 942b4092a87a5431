import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvdcells.errors import UserError
from hvdcells.experiment.search_space import draw_trials, parse_space


def test_all_combinations_in_the_order_of_the_lists():
    space = parse_space(["optimizer.learning_rate=0.001,0.01", "model.dropout = 0, 0.2"])
    assert draw_trials(space, None, seed=0) == [
        {"optimizer.learning_rate": rate, "model.dropout": dropout}
        for rate in ("0.001", "0.01")
        for dropout in ("0", "0.2")
    ]


@given(st.integers(0, 2**32 - 1))
def test_ranges_stay_in_their_bounds_and_a_seed_draws_the_same_again(seed):
    space = parse_space(["a=1e-4..1e-1:log", "b=0.0..0.5", "c=2..4", "d=x,y"])
    trials = draw_trials(space, 5, seed)
    assert trials == draw_trials(space, 5, seed)
    assert len(trials) == 5
    for trial in trials:
        assert list(trial) == ["a", "b", "c", "d"]
        assert 0.9999e-4 <= trial["a"] <= 0.1
        assert 0 <= trial["b"] <= 0.5
        assert trial["c"] in (2, 3, 4)
        assert trial["d"] in ("x", "y")
        assert all(type(value) in (int, float, str) for value in trial.values())


def test_a_log_range_spreads_over_its_decades_and_whole_numbers_reach_both_ends():
    trials = draw_trials(parse_space(["a=0.001..1:log", "c=2..4"]), 300, seed=1)
    decades = [sum(low <= trial["a"] < 10 * low for trial in trials) for low in (0.001, 0.01, 0.1)]
    assert min(decades) > 60
    assert {trial["c"] for trial in trials} == {2, 3, 4}


def test_drawing_from_lists_repeats_nothing():
    space = parse_space(["a=1,2,3", "b=x,y"])
    drawn = draw_trials(space, 4, seed=0)
    assert len({tuple(trial.values()) for trial in drawn}) == 4
    assert len(draw_trials(space, 100, seed=0)) == 6


def test_nonsense_is_told_all_together():
    with pytest.raises(UserError) as caught:
        parse_space(["a", "b=", "c=1,1", "d=2..1", "e=0..1:log", "f=low..high", "g=1,2", "g=3"])
    for field in "abcdefg":
        assert f"--vary {field}" in str(caught.value)
    with pytest.raises(UserError, match="add --random"):
        draw_trials(parse_space(["a=1..2"]), None, seed=0)
