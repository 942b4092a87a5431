"""hvdcells: train classifiers of microscopic cell images on Spark with Horovod.

    from hvdcells import Dataset, Experiment, evaluate, recipes, train

Importing this package loads neither TensorFlow nor Spark; they come with the work that needs them.
"""

from hvdcells.cross_validating import cross_validate
from hvdcells.data.dataset import Dataset
from hvdcells.errors import UserError
from hvdcells.experiment import Experiment, recipes
from hvdcells.report import write_report
from hvdcells.run import evaluate, train
from hvdcells.runs.directory import RunDirectory
from hvdcells.sweeping import sweep

__all__ = [
    "Dataset",
    "Experiment",
    "RunDirectory",
    "UserError",
    "cross_validate",
    "evaluate",
    "recipes",
    "sweep",
    "train",
    "write_report",
]
