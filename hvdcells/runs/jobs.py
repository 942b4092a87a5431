"""What the driver hands to every rank."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hvdcells.experiment import Experiment
from hvdcells.runs.progress import Progress
from hvdcells.scores.evaluated_dataset import EvaluatedDataset


@dataclass(frozen=True)
class TrainingJob:
    """A training."""

    dataset: str
    run: str
    experiment: Experiment
    began: float
    """`time.time()` on the driver when the command began."""
    progress: Progress = field(default_factory=Progress)
    """Where to go on; the variables are those of the checkpoint of that moment."""
    least_scores: Mapping[int, float] = field(default_factory=dict)
    """By epochs done, the monitored score below which the run ends there."""
    checkpoint_steps: int = 0
    """Within an epoch, a checkpoint is written after so many steps; 0 for none."""
    lost_at: float | None = None
    """`time.time()` at which the ranks before these were lost, where this is a restart."""
    may_grow: bool = False
    """Whether the ranks are fewer than were asked for, and end at an epoch's border when there are slots for more."""


@dataclass(frozen=True)
class EvaluationJob:
    """An evaluation of one split."""

    dataset: EvaluatedDataset
    run: str
    split: str
    experiment: Experiment
    positive_classes: tuple[str, ...] | None = None
    """Classes that count as ill; None for those of the dataset's manifest."""
    num_views: int = 1
    """8 to average over the symmetries of the square."""
    explains: bool = True
    """Whether heat maps of some images are made."""
