"""The first weights of a model: whether they are there and fit, told before anything is started."""

from hvdcells import storage
from hvdcells.errors import UserError, raise_together
from hvdcells.experiment import Experiment, Model
from hvdcells.experiment.backbones import (
    EFFICIENTNET_LITE0,
    SHAPING_FIELDS,
    SMALL_CNN,
    backbone_problems,
    is_function,
    weights_kind,
)
from hvdcells.runs.directory import RunDirectory


def model_location(weights: str) -> str:
    """Return the location of the model file that a run directory or a model file names."""
    return weights if weights.endswith(".keras") else RunDirectory.at(weights).model


def settle_model(experiment: Experiment, run: RunDirectory | None = None) -> Experiment:
    """Refuse what is wrong about a model, as far as it can be told here; make the location of its weights absolute.

    Args:
        experiment: with the model.
        run: where a run is to be made with it.

    Raises:
        UserError: no such backbone, no such weights, or weights of another model; all of them together. Or weights
            that the run would write over.
    """
    options = experiment.model
    raise_together([*backbone_problems(options), *_weights_problems(options)])
    if options.weights is None or weights_kind(options) == "imagenet":
        return experiment
    location = storage.absolute(options.weights)
    if run is not None and f"{location}/".startswith(f"{run.location}/"):
        raise UserError(
            f"model.weights={options.weights} lies in {run.location}, where the run is to be made",
            "a run directory of its own for the new run",
            "name another run directory",
        )
    return experiment.model_copy(update={"model": options.model_copy(update={"weights": location})})


def _weights_problems(options: Model) -> list[UserError]:
    kind, weights, name = weights_kind(options), options.weights, options.backbone
    if kind == "imagenet" and (name == SMALL_CNN or is_function(name)):
        return [
            UserError(
                f"model.weights=imagenet with {name}",
                f"{EFFICIENTNET_LITE0}, or a backbone of tf_keras.applications: only these have ImageNet weights",
                "set model.backbone, or model.weights to a run directory or a file",
            )
        ]
    if weights is None or kind == "imagenet":
        return []
    is_run = kind == "model" and not weights.endswith(".keras")
    location = model_location(weights) if kind == "model" else weights
    if not storage.exists(location):
        return [
            UserError(
                f"model.weights={weights}: there is no {'finished run' if is_run else 'file'}",
                "imagenet, a run directory, a model.keras of a run, or a weights file of the backbone (.h5)",
                "correct model.weights",
            )
        ]
    if not is_run:
        return []
    source = RunDirectory.at(weights).read_experiment().model
    differing = [field for field in SHAPING_FIELDS if getattr(source, field) != getattr(options, field)]
    if not differing:
        return []
    return [
        UserError(
            f"the weights of the run {weights} do not fit: this model has "
            + ", ".join(f"{field} {getattr(options, field)}" for field in differing),
            "the model of that run: " + ", ".join(f"{field} {getattr(source, field)}" for field in differing),
            " ".join(f"--set model.{field}={getattr(source, field)}" for field in differing),
        )
    ]
