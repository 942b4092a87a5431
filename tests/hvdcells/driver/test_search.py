import pytest
from hypothesis import given
from hypothesis import strategies as st

import hvdcells
from hvdcells.driver.search import REDUCTION, Search, least_scores, rungs
from hvdcells.experiment.search_space import parse_space
from hvdcells.spark.backends import InProcess
from tests.hvdcells.driver.test_sweep import EXPERIMENT, Counting
from tests.small_dataset import write_small_dataset

SPACE = parse_space(["optimizer.learning_rate=0.001..0.1:log", "data.batch_size=8..32", "model.dropout=0,0.2"])


def carried_out(folder, method, num, interrupted_at=None):
    """The trials of a search whose score is a function of what is tried, each number asked for in one go or in two."""
    found, search = [], Search(str(folder), SPACE, method, 14, seed=5)
    for number in range(num):
        values = search.ask(number)
        if number == interrupted_at:  # killed between the start of a trial and its end
            search = Search(str(folder), SPACE, method, 14, seed=5)
            assert search.ask(number) == values
        state = ("finished", "finished", "failed", "pruned")[number % 4]
        search.tell(number, state, [] if state == "failed" else [values["optimizer.learning_rate"]])
        found.append(values)
    return found


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_the_same_seed_gives_the_same_trials_also_after_a_kill(tmp_path, method):
    whole = carried_out(tmp_path / "whole", method, 14)
    assert len({str(values) for values in whole}) == 14
    assert carried_out(tmp_path / "killed", method, 14, interrupted_at=11) == whole
    assert all(8 <= values["data.batch_size"] <= 32 for values in whole)


def test_bayes_learns_from_what_trials_came_to(tmp_path):
    rates = [values["optimizer.learning_rate"] for values in carried_out(tmp_path, "bayes", 14)]
    drawn = [values["optimizer.learning_rate"] for values in carried_out(tmp_path / "random", "random", 14)]
    assert rates[10:] != drawn[10:]


def test_the_journal_may_lie_elsewhere_than_on_a_disk():
    whole = carried_out("memory://sweep-of-a-test", "random", 3)
    assert Search("memory://sweep-of-a-test", SPACE, "random", 14, seed=5).ask(1) == whole[1]


def test_a_grid_is_gone_through_in_order(tmp_path):
    search = Search(str(tmp_path), {"a.b": ["1", "2"], "c.d": ["x", "y"]}, "grid", None, seed=0)
    asked = [search.ask(number) for number in range(search.num_trials)]
    assert asked == [{"a.b": a, "c.d": c} for a in "12" for c in "xy"]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_asha_lets_the_best_third_of_those_that_came_go_on(scores):
    for number, score in enumerate(scores):
        least = least_scores({2: scores[:number]} if number else {}).get(2, -1)
        better = sum(other > score for other in scores[:number])
        goes_on = better < max(1, (number + 1) // REDUCTION)
        assert (score >= least) == goes_on


def test_rungs_end_before_the_last_epoch():
    assert (rungs(2), rungs(3), rungs(6), rungs(7), rungs(20)) == ([], [2], [2], [2, 6], [2, 6, 18])


@pytest.mark.tensorflow
def test_asha_ends_a_trial_that_lags_behind_and_goes_on_from_its_folder(tmp_path, capsys):
    dataset = write_small_dataset(tmp_path / "dataset", {"train": [[8, 8], [8, 8]], "validation": [[8, 8]]})
    experiment = EXPERIMENT.override({"training.epochs": 3, "training.monitor": "loss"})
    vary = {"optimizer.learning_rate": [0.02, 1e-7]}
    said: list[str] = []
    options = {"search": "asha", "num_trials": 4, "seed": 1, "say": said.append}
    backend = Counting()
    result = hvdcells.sweep(dataset, tmp_path / "runs", experiment, vary, backend=backend, **options)
    pruned = [trial for trial in result.trials if trial.state == "pruned"]
    assert [trial.state for trial in result.trials] == ["finished"] * (4 - len(pruned)) + ["pruned"] * len(pruned)
    assert pruned
    assert {trial.epochs for trial in pruned} == {2}
    assert all(trial.values["optimizer.learning_rate"] == 1e-7 for trial in pruned)
    assert any("lagged behind" in line for line in said)
    again = hvdcells.sweep(dataset, tmp_path / "runs", experiment, vary, backend=backend, **options)
    assert (again, backend.done) == (result, 4)


@pytest.mark.parametrize(
    ("vary", "options", "words"),
    [
        ({"model.dropout": [0, 0.1]}, {"search": "bayes"}, "without a number of trials"),
        (SPACE, {"search": "grid"}, "a range for optimizer.learning_rate"),
        ({}, {"search": "random", "num_trials": 2}, "no field to vary"),
        ({"model.dropout": [0, 7]}, {"search": "random", "num_trials": 2}, "model.dropout=7"),
        (parse_space(["model.dropout=0.5..3.0"]), {"search": "asha", "num_trials": 2}, "model.dropout=3"),
    ],
)
def test_nonsense_is_refused_before_anything_is_written(tmp_path, vary, options, words):
    dataset = write_small_dataset(tmp_path / "dataset", {"train": [[8, 8], [8, 8]], "validation": [[8, 8]]})
    with pytest.raises(hvdcells.UserError, match=words):
        hvdcells.sweep(dataset, tmp_path / "runs", EXPERIMENT, vary, backend=InProcess(), **options)
    assert not (tmp_path / "runs").exists()
