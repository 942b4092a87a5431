"""Backbones by name: one of our own, a model of `tf_keras.applications`, or a function of the user's.

What can be said about them without TensorFlow, which the driver does not hold.
"""

import ast
import difflib
import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import Literal

from hvdcells.errors import UserError
from hvdcells.experiment.sections import Model

SMALL_CNN = "small_cnn"
EFFICIENTNET_LITE0 = "efficientnet_lite0"
OWN_BACKBONES = (SMALL_CNN, EFFICIENTNET_LITE0)
IMAGENET = "imagenet"
SHAPING_FIELDS = ("backbone", "width", "normalization")
"""Fields of the model that decide about the shapes of its weights."""
WeightsKind = Literal["none", "imagenet", "model", "backbone"]


@cache
def application_names() -> dict[str, str]:
    """Return the functions of `tf_keras.applications` by their names as backbones, such as `mobilenet_v2`.

    They are read from the text of the package, since importing it would import TensorFlow.
    """
    found = importlib.util.find_spec("tf_keras")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("tf_keras is not installed")
    package = Path(found.origin).parent
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


def is_application(backbone: str) -> bool:
    """Whether a backbone is to be one of `tf_keras.applications`."""
    return backbone not in OWN_BACKBONES and not is_function(backbone)


def weights_kind(options: Model) -> WeightsKind:
    """Tell what `model.weights` names: a whole `model` of this project, or weights of the `backbone` alone."""
    if options.weights is None:
        return "none"
    if options.weights == IMAGENET:
        return "imagenet"
    return "backbone" if options.weights.endswith((".h5", ".hdf5")) else "model"


def backbone_problems(options: Model) -> list[UserError]:
    """Return what is wrong about a backbone, as far as it can be told without building it."""
    problems, name = [], options.backbone
    if is_function(name):
        package = name.partition(":")[0].partition(".")[0]
        if importlib.util.find_spec(package) is None:
            problems.append(
                UserError(
                    f"model.backbone={name}: there is no Python package {package!r}",
                    "package.module:function, importable here and on the workers",
                    "install the package, or name its folder: PYTHONPATH=FOLDER hvdcells ...; PYTHONPATH=. is this one",
                )
            )
    elif is_application(name) and name not in application_names():
        known = [*OWN_BACKBONES, *application_names()]
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
