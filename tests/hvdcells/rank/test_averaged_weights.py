"""Runs that keep an average of the weights: it is what is judged and saved, and it outlives an interruption."""

import numpy as np
import pytest

import hvdcells
from hvdcells.rank.models import load_model
from hvdcells.rank.narrator import Narrator
from hvdcells.spark.backends import InProcess
from tests.small_dataset import write_small_dataset

pytestmark = pytest.mark.tensorflow

EXPERIMENT = hvdcells.recipes.small_cnn().override(
    {
        "training.epochs": 3,
        "training.select": "last",
        "training.ema_decay": 0.7,
        "data.batch_size": 8,
        "data.input_size": 24,
        "model.width": 0.25,
        "optimizer.learning_rate": 0.1,
    }
)


def stop_before_the_last_epoch(self, epoch, *_):
    if epoch == 2:
        raise KeyboardInterrupt
    return TELL(self, epoch, *_)


TELL = Narrator.epoch_done


def test_the_average_is_validated_and_saved_and_goes_on_after_an_interruption(tmp_path, monkeypatch):
    groups = {"train": [[16, 16]], "validation": [[16]], "test": [[8]]}
    dataset = write_small_dataset(tmp_path / "dataset", groups)
    averaged = hvdcells.train(dataset, tmp_path / "averaged", EXPERIMENT, backend=InProcess())
    # What the last epoch was judged by is what was saved.
    saved = hvdcells.evaluate(averaged, split="validation").by_image
    assert saved["confusion_matrix"] == averaged.read_metrics()[-1]["validation"]["confusion_matrix"]
    assert all(line["gradient_norm_max"] >= line["gradient_norm"] > 0 for line in averaged.read_metrics())

    with monkeypatch.context() as patch:
        patch.setattr(Narrator, "epoch_done", stop_before_the_last_epoch)
        with pytest.raises(KeyboardInterrupt):
            hvdcells.train(dataset, tmp_path / "stopped", EXPERIMENT, backend=InProcess())
    again = hvdcells.train(dataset, tmp_path / "stopped", backend=InProcess(), resume=True)
    plain = EXPERIMENT.override({"training.ema_decay": None})
    last = hvdcells.train(dataset, tmp_path / "plain", plain, backend=InProcess())
    kept, resumed, own = (
        load_model(run.read_experiment().model, run.model).get_weights() for run in (averaged, again, last)
    )
    assert all(map(np.array_equal, kept, resumed))
    assert not all(map(np.array_equal, kept, own))
    # The weights themselves are trained as without: the average changes nothing about them.
    digests = [run.read_json(run.finished)["weights_digest"] for run in (averaged, last)]
    assert digests[0] == digests[1]
