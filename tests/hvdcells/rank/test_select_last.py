"""`training.select=last`: the last epoch's model is kept, whatever its score."""

import numpy as np
import pytest

import hvdcells
from hvdcells.errors import UserError
from hvdcells.runs.progress import Progress
from hvdcells.spark.backends import InProcess
from tests.small_dataset import write_small_dataset


def test_the_last_epoch_is_kept_even_if_it_is_worse():
    best, last = Progress(), Progress()
    for score in ((0.9, 0.0), (0.5, 0.0)):
        best.note(score)
        last.note(score, "last")
    assert (best.best_epoch, last.best_epoch) == (1, 2)


def test_early_stopping_would_choose_by_the_score_after_all():
    with pytest.raises(UserError, match="select=last does not"):
        hvdcells.recipes.small_cnn().override({"training.select": "last", "training.early_stopping_patience": 2})


@pytest.mark.tensorflow
def test_a_run_keeps_the_predictions_of_its_last_epoch_and_says_so(tmp_path, capsys):
    dataset = write_small_dataset(tmp_path / "dataset", {"train": [[8], [8]], "validation": [[8, 8]]})
    experiment = hvdcells.recipes.small_cnn().override(
        {"training.epochs": 3, "training.select": "last", "model.width": 0.2, "data.batch_size": 8}
    )
    run = hvdcells.train(dataset, tmp_path / "run", experiment, backend=InProcess())
    assert "  best" not in capsys.readouterr().out
    assert run.read_json(run.finished)["best_epoch"] == 3
    kept = run.read_json(run.evaluation("validation"))["by_image"]["confusion_matrix"]
    assert np.array_equal(kept, run.read_metrics()[-1]["validation"]["confusion_matrix"])
    page = (tmp_path / "run/report.html").read_text()
    assert "the last one is kept" in page
    assert "flatter" not in page
