import pytest

from hvdcells.errors import UserError
from hvdcells.experiment import Experiment, Optimizer, field_names, recipes
from hvdcells.experiment.learning_rate import learning_rate_at, scaled_learning_rate


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_recipes_round_trip_through_json(name):
    experiment = recipes.by_name(name)
    assert Experiment.from_json(experiment.to_json()) == experiment


def test_fields_are_overridden_by_dotted_name_and_text_becomes_the_type():
    experiment = Experiment().override(
        {
            "optimizer.learning_rate": "0.5",
            "training.mixed_precision": "true",
            "data.input_size": "null",
            "training.class_weights": "none",
            "optimizer.gradient_clip_norm": "1.5",
            "seed": "7",
        }
    )
    assert experiment.optimizer.learning_rate == 0.5
    assert experiment.training.mixed_precision == "float16"
    assert experiment.data.input_size is None
    assert experiment.training.class_weights == "none"
    assert experiment.optimizer.gradient_clip_norm == 1.5
    assert experiment.seed == 7
    assert experiment.model == Experiment().model


def test_all_wrong_fields_are_told_together():
    with pytest.raises(UserError) as caught:
        Experiment().override({"optimizer.learning_rat": "1", "nonsense": "2"})
    assert "optimizer.learning_rate" in str(caught.value)
    assert "nonsense" in str(caught.value)


def test_all_wrong_values_are_told_together():
    with pytest.raises(UserError) as caught:
        Experiment().override({"optimizer.learning_rate": "-1", "training.epochs": "many", "model.backbone": "v-g-g"})
    for field in ("optimizer.learning_rate", "training.epochs", "model.backbone"):
        assert field in str(caught.value)


def test_unknown_recipe_names_the_known_ones():
    with pytest.raises(UserError, match="small_cnn"):
        recipes.by_name("resnet")


def test_every_field_can_be_named():
    names = field_names()
    assert "seed" in names
    assert "communication.cycle_time_ms" in names
    assert "data" not in names


def test_learning_rate_is_scaled_warmed_up_and_decayed():
    options = Optimizer(learning_rate=0.1, warmup_epochs=2, schedule="cosine")
    assert scaled_learning_rate(0.1, 512) == pytest.approx(0.2)
    assert learning_rate_at(options, 0, 10, 512) == 0
    assert learning_rate_at(options, 1, 10, 512) == pytest.approx(0.1)
    assert learning_rate_at(options, 2, 10, 512) == pytest.approx(0.2)
    assert learning_rate_at(options, 6, 10, 512) == pytest.approx(0.1)
    assert learning_rate_at(options, 10, 10, 512) == pytest.approx(0)
    constant = Optimizer(learning_rate=0.1, warmup_epochs=0, schedule="constant")
    assert learning_rate_at(constant, 3, 10, 256) == pytest.approx(0.1)


def test_a_run_shorter_than_its_warm_up_only_rises():
    options = Optimizer(learning_rate=0.1, warmup_epochs=5)
    rates = [learning_rate_at(options, progress / 10, 1, 256) for progress in range(1, 11)]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.1)
