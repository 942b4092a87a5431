"""How far a run has come: what a checkpoint holds beside the variables, and what the next epoch depends on."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hvdcells import storage
from hvdcells.data.begun_epoch import Part
from hvdcells.experiment import Experiment
from hvdcells.experiment.phases import plan_phases
from hvdcells.runs.directory import RunDirectory, write_json


@dataclass
class Progress:
    """The epochs done and the best of them. Best score and early stopping follow from it on every rank alike."""

    epochs_done: int = 0
    best_epoch: int = 0
    """Counted from 1; 0 before the first epoch. With `training.select=last`, the last one."""
    best_score: tuple[float, ...] | None = None
    """Of the best epoch, larger being better; see `training.monitored`."""
    records: list[dict[str, Any]] = field(default_factory=list)
    """The lines of `metrics.jsonl`; kept up to date on rank 0 only."""
    fell_behind: bool = False
    """Whether the run is ended early, since its score is less than it must be after that epoch."""
    parts: tuple[Part, ...] = ()
    """What was done of the next epoch, where the checkpoint was written within it."""
    loss_sum: float = 0.0
    """Of the images of these parts."""
    written: float = field(default=0.0, compare=False)
    """`time.time()` of the checkpoint."""

    @property
    def steps_done(self) -> int:
        """Steps of the epoch under way, over all of its parts."""
        return sum(steps for _, steps in self.parts)

    @property
    def is_begun(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return self.epochs_done > 0 or bool(self.parts)

    def note(self, score: tuple[float, ...], select: str = "best", least: Mapping[int, float] | None = None) -> bool:
        """Count an epoch as done; return whether its model is to be kept: the best so far or, if told so, the last.

        `least` is, by epochs done, the score below which the run ends there.
        """
        self.epochs_done += 1
        self.parts, self.loss_sum = (), 0.0
        is_best = select == "last" or self.best_score is None or score > self.best_score
        if is_best:
            self.best_epoch, self.best_score = self.epochs_done, score
        assert self.best_score is not None
        self.fell_behind = self.best_score[0] < (least or {}).get(self.epochs_done, -float("inf"))
        return is_best

    def is_over(self, experiment: Experiment) -> bool:
        """Whether all epochs are done, the best one is too long ago, or the run fell behind.

        Patience begins anew with a phase, and only the last one is cut short.
        """
        num_epochs, patience = experiment.training.epochs, experiment.training.early_stopping_patience
        last_phase = plan_phases(experiment.transfer, num_epochs)[-1]
        waited = self.epochs_done - max(self.best_epoch, last_phase.first_epoch + 1)
        return self.fell_behind or self.epochs_done >= num_epochs or (patience is not None and waited >= patience)


def write_progress(run: RunDirectory, progress: Progress) -> None:
    """Make a checkpoint whole: the variables of its epoch are there already."""
    place = progress.epochs_done, progress.steps_done
    variables_bytes = storage.size_bytes(run.checkpoint_variables(*place))
    write_json(run.checkpoint(*place), {**asdict(progress), "written": time.time(), "variables_bytes": variables_bytes})


def last_progress(run: RunDirectory) -> Progress:
    """Return the progress of the last whole checkpoint, or that of a run that has none.

    A checkpoint is whole when both of its files are there and the variables have the size they were written with.
    """
    for name in reversed(storage.names_in(run.checkpoints)):
        if not name.startswith("epoch-") or not name.endswith(".json"):
            continue
        content = json.loads(storage.read_text(storage.join(run.checkpoints, name)))
        expected_bytes = content.pop("variables_bytes")
        best, parts = content["best_score"], tuple(map(tuple, content.get("parts", ())))
        progress = Progress(**{**content, "best_score": best and tuple(best), "parts": parts})
        if storage.size_bytes(run.checkpoint_variables(progress.epochs_done, progress.steps_done)) == expected_bytes:
            return progress
    return Progress()


def remove_checkpoints(run: RunDirectory, keep: Sequence[int], steps: int = 0) -> None:
    """Remove all checkpoints but those of some epochs, and what writers that were killed have left.

    Args:
        run: of which run.
        keep: the epochs.
        steps: of the epoch after the first of these: a checkpoint within it is kept too.
    """
    places = [*((epoch, 0) for epoch in keep), (keep[0], steps)]
    kept = {location for place in places for location in (run.checkpoint(*place), run.checkpoint_variables(*place))}
    # "json" before "npz": a checkpoint ceases to be one before it loses its variables.
    for name in storage.names_in(run.checkpoints):
        location = storage.join(run.checkpoints, name)
        if location not in kept:
            storage.remove(location)


def monitored(scores: dict[str, Any], monitor: str) -> tuple[float, float]:
    """Return what names the best epoch, larger being better; of equal scores the smaller loss wins."""
    value = scores[monitor]
    if value is None:  # not defined, as the AUROC of one class
        return -float("inf"), -scores["loss"]
    return (-value if monitor == "loss" else value), -scores["loss"]
