"""What can be said about a model without TensorFlow, which the driver does not hold: its backbone and its weights.

A backbone is `small_cnn`, a model of `tf_keras.applications`, or a function of the user's.
"""

import ast
import difflib
import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import Literal

from hvdcells import storage
from hvdcells.errors import UserError, raise_together
from hvdcells.experiment import Experiment, Model
from hvdcells.runs.directory import RunDirectory

SMALL_CNN = "small_cnn"
IMAGENET = "imagenet"
SHAPING_FIELDS = ("backbone", "width", "normalization")
"""Fields of the model that decide about the shapes of its weights."""
WeightsKind = Literal["none", "imagenet", "model", "backbone"]


@cache
def application_names() -> dict[str, str]:
    """Return the functions of `tf_keras.applications` by their names as backbones, such as `mobilenet_v2`.

    They are read from the text of the package, since importing it would import TensorFlow.
    """
    package = Path(importlib.util.find_spec("tf_keras").origin).parent
    tree = ast.parse((package / "applications" / "__init__.py").read_text())
    imported = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    return {_snake_case(name): name for name in imported if name[0].isupper()}


def _snake_case(name: str) -> str:
    """`EfficientNetV2B0` → `efficientnet_v2_b0`."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return snake.replace("_net", "net").replace("_ne_xt", "next")


def is_function(backbone: str) -> bool:
    """Whether a backbone names a function of the user's, `package.module:function`."""
    return ":" in backbone


def weights_kind(options: Model) -> WeightsKind:
    """Tell what `model.weights` names: a whole `model` of this project, or weights of the `backbone` alone."""
    if options.weights is None:
        return "none"
    if options.weights == IMAGENET:
        return "imagenet"
    return "backbone" if options.weights.endswith((".h5", ".hdf5")) else "model"


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
    raise_together([*_backbone_problems(options), *_weights_problems(options)])
    if weights_kind(options) in ("none", "imagenet"):
        return experiment
    location = storage.absolute(options.weights)
    if run is not None and f"{location}/".startswith(f"{run.location}/"):
        raise UserError(
            f"model.weights={options.weights} lies in {run.location}, where the run is to be made",
            "a run directory of its own for the new run",
            "name another run directory",
        )
    return experiment.model_copy(update={"model": options.model_copy(update={"weights": location})})


def _backbone_problems(options: Model) -> list[UserError]:
    problems, name = [], options.backbone
    if is_function(name):
        package = name.partition(":")[0].partition(".")[0]
        if importlib.util.find_spec(package) is None:
            problems.append(
                UserError(
                    f"model.backbone={name}: there is no Python package {package!r}",
                    "package.module:function, importable here and on the workers",
                    "install the package, or put its folder on PYTHONPATH",
                )
            )
    elif name != SMALL_CNN and name not in application_names():
        known = [SMALL_CNN, *application_names()]
        near = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
        problems.append(
            UserError(
                f"there is no backbone {name!r}",
                "one of " + ", ".join(near or known) + ", or package.module:function",
                "correct model.backbone; docs/models.md lists all of them",
            )
        )
    if options.width != 1 and name != SMALL_CNN and not name.startswith("mobilenet"):
        problems.append(
            UserError(f"model.width={options.width:g} with {name}", "1", "leave model.width out, or take mobilenet_v2")
        )
    return problems


def _weights_problems(options: Model) -> list[UserError]:
    kind, weights, name = weights_kind(options), options.weights, options.backbone
    if kind == "imagenet" and (name == SMALL_CNN or is_function(name)):
        return [
            UserError(
                f"model.weights=imagenet with {name}",
                "a backbone of tf_keras.applications, such as mobilenet_v2: only these have ImageNet weights",
                "set model.backbone, or model.weights to a run directory or a file",
            )
        ]
    if kind in ("none", "imagenet"):
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
