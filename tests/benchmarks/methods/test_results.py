"""From what an adapter leaves to rows and the table."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.methods.adapters.task import Outcome, Task
from benchmarks.methods.catalogue import METHODS
from benchmarks.methods.results import AIM_F1, epochs_of, figures_of, merged, replace_result, row_of
from benchmarks.methods.running import Ending
from benchmarks.methods.table import markdown_table
from hvdcells.scores.classification import classification_scores

LABELS = np.array([0, 0, 0, 1, 1, 1, 1, 0])
RIGHT, WRONG = (0.1 + 0.8 * LABELS).tolist(), (0.9 - 0.8 * LABELS).tolist()
ENDING = Ending(began=100.0, seconds=50.0, peak_memory_bytes=2**30, reason=None)
KEYS = {"name", "status", "reason", "images_per_second", "seconds_to_f1", "weighted_f1"}

SETTINGS = {
    "dataset": "nowhere",
    "batch_per_worker": 25,
    "workers": 2,
    "epochs": 4,
    "learning_rate": 0.001,
    "seed": 0,
}


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    folder = tmp_path_factory.mktemp("task")
    (folder / "settings.json").write_text(json.dumps(SETTINGS))
    for split in ("validation", "test"):
        np.save(folder / f"{split}-labels.npy", LABELS)
    return Task(str(folder))


def write(folder, epochs, test=None):
    """Leave what an adapter leaves: epochs as (training seconds, end, validation predictions), test predictions."""
    folder.mkdir(exist_ok=True)
    outcome = Outcome(str(folder))
    for seconds, ended, predicted in epochs:
        outcome.epoch(seconds, 200, predicted, ended)
    if test is not None:
        outcome.finish(test)
    return folder


def test_figures_of_a_run(tmp_path, task):
    epochs = [(9.0, 112.0, WRONG), (2.0, 115.0, WRONG), (4.0, 120.0, RIGHT), (2.0, 123.0, WRONG)]
    figures = figures_of(write(tmp_path / "run", epochs, RIGHT), task, ENDING)
    assert figures["images_per_second"] == 100.0, "200 images in the median of 2, 4 and 2 s, without the first epoch"
    assert figures["seconds_per_epoch"] == 3.0, "median of 3, 5 and 3 s"
    assert figures["seconds_to_start"] == 9.0, "the first epoch ended 12 s after the start and an epoch takes 3"
    assert figures["seconds_to_f1"] == 20.0
    assert figures["weighted_f1"] == 1.0
    assert figures["validation_f1"] == [0.0, 0.0, 1.0, 0.0]
    assert (figures["epochs"], figures["images_per_epoch"]) == (4, 200)


def test_f1_is_that_of_the_projects_metrics(tmp_path, task):
    mixed = [0.9, 0.1, 0.2, 0.8, 0.3, 0.9, 0.4, 0.7]
    figures = figures_of(write(tmp_path / "run", [(1.0, 101.0, mixed)], mixed), task, ENDING)
    expected = classification_scores(LABELS.astype(int), np.column_stack([1 - np.array(mixed), mixed]))
    assert figures["weighted_f1"] == figures["validation_f1"][0] == expected["weighted_f1"]
    assert figures["auroc"] == expected["auroc"]


def test_a_run_of_hvdcells_is_read_from_its_run_directory(tmp_path, task):
    line = {"ended": 120.0, "rank_seconds": [2.0, 3.0], "images": 200, "validation": {"weighted_f1": 0.9}}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    assert epochs_of(tmp_path, task) == [{"ended": 120.0, "train_seconds": 2.0, "images": 200, "weighted_f1": 0.9}], (
        "training seconds are those of the rank that notes the epochs"
    )


def test_a_run_without_an_epoch_has_no_rates(tmp_path, task):
    failed = Ending(100.0, 5.0, 0, "ValueError: no (exit status 1)")
    figures = figures_of(write(tmp_path / "run", []), task, failed)
    assert figures["reason"] == "ValueError: no (exit status 1)"
    assert (figures["epochs"], figures["seconds_to_f1"], figures["images_per_epoch"]) == (0, None, None)
    row = row_of(METHODS[0], [figures])
    assert set(row) >= KEYS
    assert (row["status"], row["reason"]) == ("failed", "ValueError: no (exit status 1)")
    assert row["images_per_second"] is row["weighted_f1"] is None


def test_predictions_of_a_failed_run_are_not_scored(tmp_path, task):
    failed = Ending(100.0, 5.0, 0, "it crashed at its end")
    figures = figures_of(write(tmp_path / "run", [(1.0, 101.0, RIGHT)], RIGHT), task, failed)
    assert "weighted_f1" not in figures


@given(st.lists(st.tuples(st.floats(0.1, 50), st.booleans()), min_size=2, max_size=8))
@settings(max_examples=50, deadline=None)
def test_the_time_to_the_aim_is_that_of_the_first_epoch_that_reaches_it(tmp_path_factory, task, epochs):
    ends = (100 + np.cumsum([seconds for seconds, _ in epochs])).tolist()
    noted = [(s / 2, end, RIGHT if good else WRONG) for (s, good), end in zip(epochs, ends, strict=True)]
    figures = figures_of(write(tmp_path_factory.mktemp("run"), noted), task, ENDING)
    reached = [end - 100 for (_, good), end in zip(epochs, ends, strict=True) if good]
    assert figures["seconds_to_f1"] == (pytest.approx(reached[0]) if reached else None)
    later = [seconds / 2 for seconds, _ in epochs[1:]]
    assert 200 / max(later) <= figures["images_per_second"] * (1 + 1e-9)
    assert figures["images_per_second"] <= 200 / min(later) * (1 + 1e-9)


def made_up(**changed):
    values = dict.fromkeys(
        ("seconds_to_start", "seconds_per_epoch", "seconds", "seconds_to_f1", "weighted_f1", "auroc"), 0.5
    )
    counts = {"peak_memory_bytes": 2**30, "epochs": 2, "images_per_epoch": 200, "images_per_second": 10.0}
    return {"reason": None, "validation_f1": [0.5, 0.6], **values, **counts, **changed}


def test_a_row_holds_medians_and_all_values():
    row = row_of(METHODS[1], [made_up(images_per_second=value) for value in (30.0, 10.0, 20.0)])
    assert (row["images_per_second"], row["images_per_second_values"]) == (20.0, [30.0, 10.0, 20.0])
    assert (row["status"], row["reason"], row["runs"]) == ("ran", None, 3)
    assert set(row) >= KEYS


def test_one_run_that_missed_the_aim_leaves_no_median_of_the_others():
    row = row_of(METHODS[1], [made_up(seconds_to_f1=5.0), made_up(seconds_to_f1=None), made_up(seconds_to_f1=7.0)])
    assert row["seconds_to_f1"] is None
    assert row["seconds_to_f1_values"] == [5.0, None, 7.0]
    assert "in 2 of 3" in markdown_table({"methods": [row], "settings": {}})


def test_one_failed_run_makes_a_failed_row_with_its_reason():
    row = row_of(METHODS[2], [made_up(), made_up(reason="first | reason"), made_up(reason="second")])
    assert (row["status"], row["reason"]) == ("failed", "first | reason")
    table = markdown_table({"methods": [row], "settings": {}})
    assert "failed: first / reason" in table, "a bar would end the cell"
    assert len({line.count("|") for line in table.splitlines()}) == 1


def test_equal_wall_time_takes_the_last_epoch_that_was_done():
    cut = [made_up(validation_f1=values, epochs=len(values)) for values in ([0.5], [0.5, 0.9], [0.4, 0.7, 0.8])]
    row = row_of(METHODS[1], [made_up()], cut)
    assert row["at_wall"] == {"epochs": 2, "validation_f1": 0.8, "validation_f1_values": [0.5, 0.9, 0.8]}
    table = markdown_table({"methods": [row], "settings": {"wall_seconds": 30.0}})
    assert f"s to F1 {AIM_F1}" in table
    assert "0.800 (2)" in table


def test_a_cut_run_without_an_epoch_has_no_f1():
    row = row_of(METHODS[1], [made_up()], [made_up(validation_f1=[], epochs=0), made_up()])
    assert row["at_wall"]["validation_f1"] is None
    assert "never" in markdown_table({"methods": [row], "settings": {"wall_seconds": 30.0}})


@given(st.sets(st.sampled_from(METHODS)), st.sets(st.sampled_from(METHODS)))
def test_new_rows_take_the_place_of_earlier_ones(now, before):
    rows = merged([{"name": m.name, "new": True} for m in now], [{"name": m.name, "new": False} for m in before])
    assert [row["name"] for row in rows] == [m.name for m in METHODS if m in now | before]
    assert all(row["new"] == (row["name"] in {m.name for m in now}) for row in rows)


def test_a_result_is_replaced_whole(tmp_path):
    out = tmp_path / "folder" / "result.json"
    for number in (1, 2):
        replace_result(out, {"methods": [number]})
        assert json.loads(out.read_text()) == {"methods": [number]}
    assert [file.name for file in out.parent.iterdir()] == ["result.json"]
