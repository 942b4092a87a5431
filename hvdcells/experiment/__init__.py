"""What is trained: the experiment, and what follows from it without a model, an image or a rank."""

from hvdcells.experiment.description import Experiment, field_names, flattened
from hvdcells.experiment.sections import (
    NO_AUGMENTATION,
    REFERENCE_GLOBAL_BATCH,
    Augmentation,
    Communication,
    Data,
    Model,
    Optimizer,
    Training,
    Transfer,
)

__all__ = [
    "NO_AUGMENTATION",
    "REFERENCE_GLOBAL_BATCH",
    "Augmentation",
    "Communication",
    "Data",
    "Experiment",
    "Model",
    "Optimizer",
    "Training",
    "Transfer",
    "field_names",
    "flattened",
]
