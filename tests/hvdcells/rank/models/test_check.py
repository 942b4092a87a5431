"""Models of users' functions, tried before anything is started."""

import pytest

from hvdcells.errors import UserError
from hvdcells.experiment import Model
from hvdcells.rank.models.check import check_model

pytestmark = pytest.mark.tensorflow

SIZE = 16


def refusal(function):
    """What the check says of a function's model; None where it takes it."""
    try:
        check(function)
    except UserError as error:
        return str(error)
    return None


def check(function):
    check_model(Model(backbone=f"tests.hvdcells.rank.models.functions:{function}"), SIZE, num_classes=2)


@pytest.mark.parametrize(
    "function",
    ["keras3_features", "keras3_classifier", "tf_keras_classifier", "tf_keras_features", "with_control_flow"],
)
def test_models_that_can_be_trained_kept_and_used_pass(function):
    assert refusal(function) is None


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("of_three_dimensions", r"a model of 1 outputs: \(None, 256, 3\)"),
        ("of_two_outputs", "a model of 2 outputs"),
        ("no_model", "returns"),
        ("other_at_each_call", "cannot be saved and loaded again: the loaded model gives other logits"),
        ("without_weights", "no weight of its model has a gradient"),
    ],
)
def test_others_are_refused_with_their_cause(function, told):
    with pytest.raises(UserError, match=told):
        check(function)


def test_a_lambda_layer_is_no_surprise_at_the_end():
    """Its model can be saved and loaded again, since that is built by the function itself."""
    assert refusal("with_lambda") is None
