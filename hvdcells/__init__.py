"""hvdcells: train classifiers of microscopic cell images on Spark with Horovod.

    from hvdcells import Dataset, Experiment, evaluate, recipes, train

Importing this package loads neither TensorFlow nor Spark nor pyarrow; they come with the work that needs them.
"""

import importlib
from typing import TYPE_CHECKING, Any

from hvdcells.data.dataset import Dataset
from hvdcells.driver.cross_validation import cross_validate
from hvdcells.driver.decide import decide
from hvdcells.driver.evaluate import evaluate
from hvdcells.driver.sweep import sweep
from hvdcells.driver.train import train
from hvdcells.errors import UserError
from hvdcells.experiment import Experiment, recipes
from hvdcells.report import write_report
from hvdcells.runs.directory import RunDirectory

if TYPE_CHECKING:
    from hvdcells.driver.export import export
    from hvdcells.driver.predict import predict
    from hvdcells.inference.classifier import Classifier

__all__ = [
    "Classifier",
    "Dataset",
    "Experiment",
    "RunDirectory",
    "UserError",
    "cross_validate",
    "decide",
    "evaluate",
    "export",
    "predict",
    "recipes",
    "sweep",
    "train",
    "write_report",
]

_WITH_PYARROW = {
    "Classifier": "hvdcells.inference.classifier",
    "export": "hvdcells.driver.export",
    "predict": "hvdcells.driver.predict",
}
"""Names that are imported when they are asked for, and where they are."""


def __getattr__(name: str) -> Any:
    if name not in _WITH_PYARROW:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_WITH_PYARROW[name]), name)
