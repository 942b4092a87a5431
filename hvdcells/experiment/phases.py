"""The phases of a run: which epochs train what, and at which learning rate."""

from dataclasses import dataclass
from typing import Literal

from hvdcells.experiment import Optimizer, Transfer
from hvdcells.experiment.learning_rate import learning_rate_at


@dataclass(frozen=True)
class Phase:
    """Consecutive epochs that train the same weights with one optimizer and one schedule of the learning rate."""

    trains: Literal["head", "all"]
    """`all`: whatever `Transfer` does not freeze for good."""
    first_epoch: int
    num_epochs: int
    rate_factor: float = 1.0

    def learning_rate_at(self, options: Optimizer, progress_epochs: float, global_batch: int) -> float:
        """Return the learning rate at a point of the run; every phase warms up and decays by itself."""
        in_phase = progress_epochs - self.first_epoch
        return self.rate_factor * learning_rate_at(options, in_phase, self.num_epochs, global_batch)


def plan_phases(transfer: Transfer, num_epochs: int) -> list[Phase]:
    """Return the phases of a run of so many epochs: one, or the head alone and then the rest."""
    head_epochs = min(transfer.head_epochs, num_epochs)
    phases = [Phase("head", 0, head_epochs)] if head_epochs else []
    if num_epochs > head_epochs:
        phases.append(Phase("all", head_epochs, num_epochs - head_epochs, transfer.fine_tune_rate_factor))
    return phases


def phase_of(phases: list[Phase], epoch: int) -> Phase:
    """Return the phase to which an epoch belongs."""
    return next(phase for phase in reversed(phases) if phase.first_epoch <= epoch)
