"""How the time of steps is told apart: stamped, as on CPUs, and read every few steps, as on GPUs."""

from collections import Counter
from itertools import pairwise

import horovod.tensorflow as hvd
import numpy as np
import pytest
import tensorflow as tf

from hvdcells.data.shard_plan import EpochPlan
from hvdcells.errors import UserError
from hvdcells.experiment import Augmentation, Experiment, Model
from hvdcells.experiment.phases import Phase
from hvdcells.rank.checkpoint import state_variables
from hvdcells.rank.epoch import train_epoch
from hvdcells.rank.models import build_model
from hvdcells.rank.start import StartUp
from hvdcells.rank.step_timing import StepTiming, measured_communication
from hvdcells.rank.transfer import begin_phase

pytestmark = pytest.mark.tensorflow

SIZE, BATCH, NUM_STEPS = 24, 4, 20
STAMPED = StepTiming(stamped=True)


@pytest.fixture(scope="module")
def epoch():
    """Takes an epoch of a small model; returns its record and the weights after it."""
    hvd.init()
    rng = np.random.default_rng(0)
    experiment = Experiment(model=Model(width=0.25, dropout=0.0), augmentation=Augmentation(brightness=0.1))
    experiment = experiment.override({"data.batch_size": BATCH, "training.accumulation_steps": 2})
    phase, plan = Phase("all", 0, 1, 0.1), EpochPlan((), (BATCH * NUM_STEPS,), BATCH)
    batches = [
        {
            "image": tf.constant(rng.integers(0, 256, (BATCH, SIZE, SIZE, 3), dtype=np.uint8)),
            "label": tf.constant([0.0, 1.0, 1.0, 0.0]),
            "weight": tf.ones(BATCH),
        }
        for _ in range(NUM_STEPS)
    ]

    def take(timing, spoilt_at=None, prepare=lambda step, model: None, asked=lambda: None):
        model = build_model(experiment.model, SIZE, (100.0,) * 3, (50.0,) * 3, seed=0)
        step = begin_phase(phase, model, experiment, (1.0, 1.0), 1, timed=timing.stamped)
        prepare(step, model)
        given = list(batches)
        if spoilt_at is not None:
            given[spoilt_at] = given[spoilt_at] | {"weight": tf.fill(BATCH, float("nan"))}
        left = (asked() or batch for batch in given)
        record = train_epoch(step, left, plan, phase, experiment, 0, StartUp(0.0), timing)
        return record, model.get_weights()

    return take


@pytest.mark.parametrize("read_every", [1, 7, 50])
def test_how_often_the_loss_is_read_changes_no_weight(epoch, read_every):
    (stamped, weights), (record, own) = epoch(STAMPED), epoch(StepTiming(False, read_every))
    assert all(np.array_equal(a, b) for a, b in zip(weights, own, strict=True))
    assert record["loss"] == pytest.approx(stamped["loss"], rel=1e-6)
    assert record["gradient_norm"] == pytest.approx(stamped["gradient_norm"], rel=1e-6)
    assert record["gradient_norm_max"] == pytest.approx(stamped["gradient_norm_max"], rel=1e-6)


def counted(name, own, calls):
    def method(self, *args, **options):
        calls[name] += 1
        return own(self, *args, **options)

    return method


def test_nothing_is_read_between_two_readings(epoch, monkeypatch):
    reads, before_step = Counter(), []
    eager = type(tf.constant(0)).__mro__[1]
    for name in ("numpy", "__float__", "__int__", "__bool__", "__array__", "__index__"):
        monkeypatch.setattr(eager, name, counted(name, getattr(eager, name), reads))

    def reading_steps(timing):
        before_step.clear()
        epoch(timing, asked=lambda: before_step.append(reads.total()))
        return [step for step, (a, b) in enumerate(pairwise(before_step)) if b > a]

    # The first step is waited for, since it traces; so does the second, the first to update.
    assert reading_steps(StepTiming(False, 1)) == list(range(NUM_STEPS - 1))
    assert [step for step in reading_steps(StepTiming(False, 7)) if step > 1] == [7, 15]


def test_a_loss_that_is_no_number_is_noticed_at_the_next_reading(epoch):
    left = {}
    for timing in (STAMPED, StepTiming(False, 7)):
        with pytest.raises(UserError, match="the loss is nan in epoch 1") as caught:
            epoch(timing, spoilt_at=9)
        frame = next(entry.frame for entry in caught.traceback if entry.name == "train_epoch")
        left[timing.read_every] = frame.f_locals["number"]
    assert left == {1: 9, 7: 15}


def test_time_is_split_by_what_was_measured_before(epoch):
    record = epoch(StepTiming(False, 5, communication_seconds=1e-5))[0]
    parts = [record[f"{part}_seconds"][0] for part in ("input", "compute", "communication")]
    assert parts[2] == pytest.approx(1e-5 * (NUM_STEPS / 2), rel=0.15)  # an update is two steps; the first is not timed
    assert sum(parts) == pytest.approx(record["rank_seconds"][0])
    record = epoch(StepTiming(False, 5, communication_seconds=1e3))[0]
    assert record["compute_seconds"] == [pytest.approx(0, abs=1e-9)], "no more than there is"


def test_measuring_changes_nothing(epoch):
    def measure(step, model):
        batch = {
            "image": tf.zeros((BATCH, SIZE, SIZE, 3), tf.uint8),
            "label": tf.zeros(BATCH),
            "weight": tf.ones(BATCH),
        }
        state = [*state_variables(model, step.optimizer), *step.accumulated]
        assert measured_communication(step, batch, state) >= 0

    measured, plain = epoch(STAMPED, prepare=measure)[1], epoch(STAMPED)[1]
    assert all(np.array_equal(a, b) for a, b in zip(measured, plain, strict=True))
