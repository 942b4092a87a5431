import pytest

from hvdcells.driver.rate_finder import RateCurve, find_rate
from hvdcells.errors import UserError
from hvdcells.experiment import Data, Experiment, Model, Optimizer
from tests.small_dataset import write_small_dataset

EXPERIMENT = Experiment(data=Data(batch_size=8), model=Model(width=0.25), optimizer=Optimizer(name="sgd"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_small_dataset(tmp_path_factory.mktemp("dataset"), {"train": [[16, 16]], "validation": [[8]]})


@pytest.mark.tensorflow
def test_rates_rise_geometrically_until_the_loss_does(dataset):
    curve = find_rate(dataset, EXPERIMENT, num_steps=60, lowest=1e-3, highest=1e6)
    ratios = [b / a for a, b in zip(curve.learning_rates, curve.learning_rates[1:], strict=False)]
    assert curve.learning_rates[0] == pytest.approx(1e-3)
    assert ratios == pytest.approx([ratios[0]] * len(ratios))
    assert len(curve.learning_rates) < 60, "the loss must have diverged"
    assert min(curve.losses) < curve.losses[0]
    assert 1e-3 < curve.suggested < curve.learning_rates[-1]


def test_the_suggestion_is_a_tenth_of_the_rate_of_the_lowest_loss():
    assert RateCurve((0.01, 0.1, 1.0), (0.7, 0.5, 0.9)).suggested == pytest.approx(0.01)


@pytest.mark.parametrize("bounds", [{"lowest": 0}, {"lowest": 2}, {"num_steps": 1}])
def test_rates_out_of_order_are_refused(dataset, bounds):
    with pytest.raises(UserError, match="rates from"):
        find_rate(dataset, EXPERIMENT, **bounds)
