"""TensorBoard's own reader on the events of a real small run."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
from tensorboard.util.tensor_util import make_ndarray

import hvdcells
from hvdcells.spark.backends import InProcess
from tests.small_dataset import write_small_dataset

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def run_and_events(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    dataset = write_small_dataset(folder / "dataset", {"train": [[8, 8]], "validation": [[8, 8]]})
    experiment = hvdcells.recipes.small_cnn().override(
        {"training.epochs": 2, "data.input_size": 24, "data.batch_size": 8, "model.width": 0.2}
    )
    run = hvdcells.train(dataset, folder / "run", experiment, backend=InProcess())
    # Size 0: keep all events.
    events = EventAccumulator(run.tensorboard, size_guidance={"tensors": 0})
    events.Reload()
    return run, events


def test_curves_of_train_validation_and_step_split(run_and_events):
    run, events = run_and_events
    tags = set(events.Tags()["tensors"])
    expected = {"train/loss", "train/learning_rate", "train/images_per_second", "validation/loss"}
    expected |= {"validation/weighted_f1", "validation/auroc"}
    expected |= {f"step_split/{part}" for part in ("input", "compute", "communication")}
    assert expected <= tags
    for name in ("loss", "learning_rate"):
        written = [make_ndarray(event.tensor_proto).item() for event in events.Tensors(f"train/{name}")]
        assert written == pytest.approx([line[name] for line in run.read_metrics()])
    assert [event.step for event in events.Tensors("validation/weighted_f1")] == [1, 2]


def test_figures_are_pictures_of_the_best_epoch(run_and_events):
    run, events = run_and_events
    for name in ("validation/confusion_matrix", "validation/roc"):
        (event,) = events.Tensors(name)
        assert event.step == run.read_json(run.finished)["best_epoch"]
        width, height, png = event.tensor_proto.string_val
        assert int(width) > 300
        assert int(height) > 300
        assert png.startswith(b"\x89PNG")


def test_the_experiment_is_there_as_hyperparameters_and_as_text(run_and_events):
    _, events = run_and_events
    (text,) = events.Tensors("experiment")
    assert b'"learning_rate"' in text.tensor_proto.string_val[0]
    content = events.PluginTagToContent(metadata.PLUGIN_NAME)[metadata.SESSION_START_INFO_TAG]
    session = metadata.parse_session_start_info_plugin_data(content)
    assert session.hparams["data.batch_size"].number_value == 8
    assert session.hparams["optimizer.name"].string_value == "adam"
    assert session.hparams["seed"].number_value == 0
