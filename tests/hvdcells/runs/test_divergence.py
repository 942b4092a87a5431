"""A run that has diverged says so."""

import math

import pytest

from hvdcells.runs.divergence import divergence_told


def records(*losses):
    return [{"epoch": number, "loss": loss} for number, loss in enumerate(losses, 1)]


@pytest.mark.parametrize("losses", [(), (0.7,), (2.0, 0.1), (1e18, 0.5), (0.5, 5 * math.log(2))])
def test_a_training_that_has_come_to_something_is_not_told_of(losses):
    assert divergence_told(records(*losses), 2) is None


@pytest.mark.parametrize(("losses", "classes"), [((0.7, 1e18), 2), ((8.0,), 2), ((3.0, 40.0), 20)])
def test_a_loss_far_above_that_of_guessing_is_told_with_the_remedy(losses, classes):
    told = divergence_told(records(*losses), classes)
    assert f"its loss is {losses[-1]:.3g} in epoch {len(losses)}" in told
    assert "lower optimizer.learning_rate" in told


def test_as_many_classes_may_cost_as_much():
    assert divergence_told(records(8.0), 20) is None
