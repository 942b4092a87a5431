"""What the driver hands to every rank."""

from dataclasses import dataclass, field

from hvdcells.experiment import Experiment
from hvdcells.runs.progress import Progress


@dataclass(frozen=True)
class TrainingJob:
    """A training."""

    dataset: str
    run: str
    experiment: Experiment
    began: float
    """`time.time()` on the driver when the command began."""
    progress: Progress = field(default_factory=Progress)
    """Where to go on; the variables are those of the checkpoint of the last epoch done."""


@dataclass(frozen=True)
class EvaluationJob:
    """An evaluation of one split."""

    dataset: str
    run: str
    validation_fold: int | None
    split: str
    experiment: Experiment
