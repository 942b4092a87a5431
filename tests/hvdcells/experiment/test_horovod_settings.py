"""Settings of Horovod: who decides."""

import pytest

from hvdcells.experiment import Communication
from hvdcells.experiment.horovod_settings import decide


@pytest.mark.parametrize(
    ("options", "environ", "expected"),
    [
        ({}, {}, 2.0),
        ({"cycle_time_ms": 7}, {}, 7.0),
        ({"cycle_time_ms": 7}, {"HOROVOD_CYCLE_TIME": "9"}, 9.0),
    ],
)
def test_the_environment_comes_before_the_experiment_and_this_before_the_default(options, environ, expected):
    settings = decide(Communication(**options), "cpu", cores_per_rank=1, environ=environ)
    assert settings.cycle_time_ms == expected
    assert settings.environment()["HOROVOD_CYCLE_TIME"] == f"{expected:g}"


def test_gloo_gives_way_where_it_shares_the_cores_with_the_model():
    assert decide(Communication(), "cpu", 1, {}).gloo_gives_way
    assert not decide(Communication(), "gpu", 1, {}).gloo_gives_way
    assert not decide(Communication(gloo_gives_way=False), "cpu", 1, {}).gloo_gives_way


def test_one_group_on_a_cpu_is_a_choice_that_zero_undoes():
    assert decide(Communication(), "cpu", 1, {}).num_groups == 1
    assert decide(Communication(num_groups=0), "cpu", 1, {}).num_groups == 0
