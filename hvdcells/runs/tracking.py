"""What a run tells of itself to trackers, TensorBoard and MLflow alike: the interface, and the curves by name."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from hvdcells.experiment import Experiment, flattened

CURVES_OF_TRAINING = ("loss", "learning_rate", "images_per_second", "gradient_norm")


class Tracker(Protocol):
    """Something beside the run directory that is told how a run goes on."""

    def begin(self, experiment: Experiment) -> None:
        """Take what is trained; before the first `epoch_done`, and again where a run goes on."""

    def epoch_done(self, line: Mapping[str, Any]) -> None:
        """Take the record of an epoch, a line of `metrics.jsonl`."""

    def end(self, is_whole: bool) -> None:
        """Take what the run has left: all of it, or what a failed one has."""


def curves_of(line: Mapping[str, Any], class_names: Sequence[str]) -> dict[str, float]:
    """Return the numbers of an epoch's record that make curves, by name; what is not defined is left out."""
    scores = line["validation"]
    curves = {f"validation/{name}": value for name, value in scores.items() if isinstance(value, float)}
    for class_name, of_class in zip(class_names, scores["per_class"], strict=True):
        if of_class["f1"] is not None:
            curves[f"validation_f1/{class_name}"] = of_class["f1"]
    for name in CURVES_OF_TRAINING:
        if line[name] is not None:
            curves[f"train/{name}"] = line[name]
    return curves | {f"step_split/{name}": share for name, share in (line["shares"] or {}).items()}


def parameters_of(experiment: Experiment) -> dict[str, Any]:
    """Return the experiment's fields by dotted name."""
    return flattened(experiment.model_dump(exclude={"name"}))
