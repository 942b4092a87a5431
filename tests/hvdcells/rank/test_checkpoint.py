"""Checkpoints hold all that a step reads and changes; what is random in layers comes from seed, epoch and rank."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from hvdcells.errors import UserError
from hvdcells.experiment import Model, Optimizer
from hvdcells.rank.checkpoint import restore_checkpoint, save_checkpoint, state_variables
from hvdcells.rank.models import build_model
from hvdcells.rank.optimizer import build_optimizer
from hvdcells.rank.random_layers import make_random_layers_seedable, seed_random_layers
from hvdcells.rank.tensorboard import drop_later_events
from hvdcells.runs.directory import RunDirectory
from hvdcells.runs.progress import Progress

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def run(tmp_path):
    return RunDirectory.at(tmp_path / "run")


def model_and_optimizer(seed, width=0.25, name="adam", mixed=True):
    model = build_model(Model(width=width), 24, (100.0,) * 3, (50.0,) * 3, seed=seed)
    optimizer = build_optimizer(Optimizer(name=name), mixed, model.trainable_variables)
    return model, optimizer


def values(model, optimizer):
    return [variable.numpy() for variable in state_variables(model, optimizer)]


def progress_after(*scores):
    progress = Progress()
    for score in scores:
        progress.note((score,))
    return progress


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_everything_comes_back_bit_by_bit(run, name):
    model, optimizer = model_and_optimizer(1, name=name)
    rng = np.random.default_rng(0)
    for variable in state_variables(model, optimizer):
        variable.assign(tf.cast(rng.uniform(1, 1000, variable.shape), variable.dtype))
    save_checkpoint(run, model, optimizer, progress_after(1.0))
    other = model_and_optimizer(2, name=name)
    restore_checkpoint(run, *other, epoch=1)
    for found, expected in zip(values(*other), values(model, optimizer), strict=True):
        assert np.array_equal(found, expected)


def test_the_loss_scale_is_among_the_variables():
    model, optimizer = model_and_optimizer(1)
    images, labels = tf.random.uniform((4, 24, 24, 3)), tf.constant([[0.0], [1.0], [0.0], [1.0]])
    before = values(model, optimizer)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(images, training=True) - labels) ** 2) * float("inf")
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    assert float(optimizer.loss_scale) == before[-2] / 2
    assert values(model, optimizer)[-2] == before[-2] / 2


def test_the_last_and_the_best_are_kept(run):
    model, optimizer = model_and_optimizer(1)
    for scores in ((1.0,), (1.0, 3.0), (1.0, 3.0, 2.0), (1.0, 3.0, 2.0, 2.5)):
        save_checkpoint(run, model, optimizer, progress_after(*scores))
    names = sorted(path.name for path in Path(run.checkpoints).iterdir())
    assert names == ["epoch-0002.json", "epoch-0002.npz", "epoch-0004.json", "epoch-0004.npz"]


@pytest.mark.parametrize("damage", ["bit", "length"])
def test_a_damaged_file_is_refused_with_what_to_do(run, damage):
    model, optimizer = model_and_optimizer(1)
    save_checkpoint(run, model, optimizer, progress_after(1.0))
    file = Path(run.checkpoint_variables(1))
    content = bytearray(file.read_bytes())
    if damage == "bit":
        content[len(content) // 2] ^= 1
    else:
        del content[len(content) // 2 :]
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"damaged(.|\n)*delete it"):
        restore_checkpoint(run, model, optimizer, epoch=1)


@pytest.mark.parametrize("other", [{"width": 0.5}, {"name": "sgd"}, {"mixed": False}])
def test_a_checkpoint_of_another_model_or_optimizer_is_refused(run, other):
    save_checkpoint(run, *model_and_optimizer(1), progress_after(1.0))
    with pytest.raises(UserError, match="other variables"):
        restore_checkpoint(run, *model_and_optimizer(1, **other), epoch=1)


@pytest.fixture
def dropout_masks():
    """Two masks in a row of a model with nested random layers, after it was seeded."""
    make_random_layers_seedable()
    inner = tf_keras.Sequential([tf_keras.layers.Dropout(0.5)])
    model = tf_keras.Sequential([tf_keras.layers.Input((64,)), tf_keras.layers.Dropout(0.5), inner])
    step = tf.function(lambda: model(tf.ones((1, 64)), training=True))

    def masks(*entropy):
        seed_random_layers(model, *entropy)
        return np.stack([step().numpy(), step().numpy()])

    return masks


def test_dropout_is_a_function_of_seed_epoch_and_rank(dropout_masks):
    first = dropout_masks(0, 3, 1)
    assert not np.array_equal(first[0], first[1])
    for other in ((1, 3, 1), (0, 4, 1), (0, 3, 0)):
        assert not np.array_equal(dropout_masks(*other), first)
    assert np.array_equal(dropout_masks(0, 3, 1), first)


def test_layers_draw_independently(dropout_masks):
    kept = (dropout_masks(0, 0, 0) > 0).mean()
    assert 0.1 < kept < 0.4  # two masks of one half leave a quarter; the same one twice would leave a half


def steps_in(folder, tag="loss"):
    """Return the steps of a scalar, in the order in which they were written."""
    records = [
        tf.compat.v1.Event.FromString(record)
        for file in sorted(Path(folder).iterdir())
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    ]
    return [event.step for event in records for value in event.summary.value if value.tag == tag]


@pytest.mark.parametrize("half_written", [False, True])
def test_events_of_epochs_that_are_done_again_are_dropped(tmp_path, half_written):
    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        for step in (1, 2, 3, 4):
            tf.summary.scalar("loss", 1.0, step=step)
    if half_written:
        (file,) = tmp_path.iterdir()
        file.write_bytes(file.read_bytes()[:-5])
    drop_later_events(str(tmp_path), 2)
    assert steps_in(tmp_path) == [1, 2]
    drop_later_events(str(tmp_path), 2)
    assert steps_in(tmp_path) == [1, 2]
