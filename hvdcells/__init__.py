"""hvdcells: train classifiers of microscopic cell images on Spark with Horovod.

    from hvdcells import Dataset, Experiment, evaluate, recipes, train

Importing this package loads neither TensorFlow nor Spark; they come with the work that needs them.
"""

from hvdcells.data.dataset import Dataset
from hvdcells.driver.cross_validation import cross_validate
from hvdcells.driver.decide import decide
from hvdcells.driver.evaluate import evaluate
from hvdcells.driver.predict import predict
from hvdcells.driver.sweep import sweep
from hvdcells.driver.train import train
from hvdcells.errors import UserError
from hvdcells.experiment import Experiment, recipes
from hvdcells.inference.classifier import Classifier
from hvdcells.report import write_report
from hvdcells.runs.directory import RunDirectory

__all__ = [
    "Classifier",
    "Dataset",
    "Experiment",
    "RunDirectory",
    "UserError",
    "cross_validate",
    "decide",
    "evaluate",
    "predict",
    "recipes",
    "sweep",
    "train",
    "write_report",
]
