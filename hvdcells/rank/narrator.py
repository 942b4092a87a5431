"""What rank 0 tells while a run goes on: lines on the screen, records in the run directory, TensorBoard."""

import json
import time
from typing import Any

import tensorflow as tf

from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.data.manifest import SYNTHETIC_NOTICE
from hvdcells.data.shard_plan import EpochPlan
from hvdcells.experiment import Experiment
from hvdcells.experiment.horovod_settings import CommunicationSettings
from hvdcells.experiment.learning_rate import scaled_learning_rate
from hvdcells.experiment.phases import Phase
from hvdcells.rank.tensorboard import TensorBoard, drop_later_events
from hvdcells.runs.directory import RunDirectory
from hvdcells.runs.tracking import Tracker
from hvdcells.secrets import visible


class Narrator:
    """Writes the progress of a run; on other ranks than 0 it is silent."""

    def __init__(self, run: RunDirectory, num_epochs: int, is_root: bool, records: list[dict[str, Any]]) -> None:
        self.run = run
        self.num_epochs = num_epochs
        self.is_root = is_root
        self.records = records
        """One per epoch, those before a resume included; `epoch_done` appends to it."""

    def __enter__(self) -> "Narrator":
        if self.is_root:
            self._take_back_later_epochs()
            self._tracker: Tracker = TensorBoard(self.run, _say)
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if not self.is_root:
            return
        self._tracker.end(is_whole=failure is None)

    def begin(
        self,
        dataset: Dataset,
        experiment: Experiment,
        plan: EpochPlan,
        num_parameters: int,
        settings: CommunicationSettings,
        num_ranks: int,
    ) -> None:
        """Say what is about to be done, with the numbers derived from the experiment."""
        if not self.is_root:
            return
        self._experiment = experiment
        in_validation = dataset.split("validation").images_per_class
        for name in dataset.manifest.class_names:
            if not in_validation.get(name):
                _say(f"no validation image is of the class {name}: its scores are not defined")
        if dataset.manifest.synthetic:
            _say(SYNTHETIC_NOTICE)
        global_batch = experiment.data.batch_size * num_ranks * experiment.training.accumulation_steps
        peak = scaled_learning_rate(experiment.optimizer.learning_rate, global_batch)
        _say(
            f"{experiment.name}: {num_parameters:,} parameters, {num_ranks} workers, global batch {global_batch}, "
            f"peak learning rate {peak:.3g}, {_training_images(dataset)}{_repeats(plan)} in {plan.num_steps} steps of "
            f"{experiment.data.batch_size} per worker ({plan.padding} of weight zero to fill them)"
        )
        _say(
            f"per worker {settings.intra_op_threads} compute threads; Horovod's cycle time "
            f"{settings.cycle_time_ms:g} ms, {settings.num_groups or 'no fixed'} group(s) of gradients"
        )
        if settings.hardware == "gpu":
            training = experiment.training
            _say(
                f"on GPUs: {training.policy}, TF32 {'on' if training.tf32 else 'off'}, the loss read every "
                f"{training.read_every} steps{', compiled by XLA' if training.jit_compile else ''}"
            )

    def phase_begins(self, phase: Phase, variables: list[tf.Variable]) -> None:
        """Say what the coming epochs train, where that is not all of the model throughout."""
        if self.is_root and phase.num_epochs < self.num_epochs:
            trained = sum(variable.shape.num_elements() for variable in variables)
            what = "the head alone" if phase.trains == "head" else "fine-tuning"
            last = phase.first_epoch + phase.num_epochs
            _say(f"epochs {phase.first_epoch + 1}–{last}: {what}, {trained:,} parameters are trained")

    def note(self, text: str) -> None:
        """Say something that was done beside the epochs."""
        if self.is_root:
            _say(text)

    def epoch_done(self, epoch: int, record: dict[str, Any], scores: dict[str, Any], is_best: bool) -> None:
        """Tell one epoch: one line on the screen, one in `metrics.jsonl`, and the curves."""
        if not self.is_root:
            return
        line = {"epoch": epoch + 1, **record, "validation": scores, "best": is_best, **bottleneck(record)}
        line["ended"] = round(time.time(), 3)
        self.records.append(line)
        self._write_metrics()
        if len(self.records) == 1:  # and not before the first step, which nothing should delay
            self._tracker.begin(self._experiment)
        self._tracker.epoch_done(line)
        rate = "–" if record["images_per_second"] is None else f"{record['images_per_second']:.0f}"
        width = len(str(self.num_epochs))
        # Of two classes that are about as many the two say the same.
        macro = f"macro F1 {scores['macro_f1']:.4f}  " if len(scores["per_class"]) > 2 else ""
        mark = "  best" if is_best and self._experiment.training.select == "best" else ""
        _say(
            f"epoch {epoch + 1:>{width}}/{self.num_epochs}  loss {record['loss']:.4f}  "
            f"validation loss {scores['loss']:.4f}  weighted F1 {scores['weighted_f1']:.4f}  {macro}"
            f"{rate} images/s  {record['seconds']:.1f} s  [{line['split']}]{mark}"
        )

    def _write_metrics(self) -> None:
        storage.write_text(self.run.metrics, "".join(json.dumps(each) + "\n" for each in self.records))

    def _take_back_later_epochs(self) -> None:
        """Remove what a run that was stopped told of an epoch and then did not keep: the epoch will be done again."""
        if storage.exists(self.run.metrics):
            self._write_metrics()
            drop_later_events(self.run.tensorboard, len(self.records))


def _repeats(plan: EpochPlan) -> str:
    return "" if plan.uses is None else f", used {sum(plan.images)} times so that classes are balanced,"


def _training_images(dataset: Dataset) -> str:
    num_used = dataset.split("train").images
    if "train" not in dataset.chosen_images:
        return f"{num_used} training images"
    num_images = len(dataset.chosen_images["train"])
    return f"{num_used} of {num_images} training images ({num_used / num_images:.1%})"


def bottleneck(record: dict[str, Any]) -> dict[str, Any]:
    """Name where the steps of an epoch spent their time, and the rank the others waited for.

    Returns:
        `split` (text), `bottleneck` (`input`, `compute` or `communication`), `slowest_rank` (the one with the
        most input and compute time), and the three shares, averaged over ranks.
    """
    parts = {name: record[f"{name}_seconds"] for name in ("input", "compute", "communication")}
    totals = {name: sum(seconds) for name, seconds in parts.items()}
    whole = sum(totals.values())
    own = [i + c for i, c in zip(parts["input"], parts["compute"], strict=True)]
    slowest = own.index(max(own))
    if whole <= 0:
        return {"split": "one step: not timed", "bottleneck": None, "slowest_rank": slowest, "shares": None}
    shares = {name: total / whole for name, total in totals.items()}
    largest = max(shares, key=shares.__getitem__)
    text = " ".join(f"{name} {share:.0%}" for name, share in shares.items())
    if len(own) > 1:
        text += f", slowest rank {slowest}"
    return {"split": text, "bottleneck": largest, "slowest_rank": slowest, "shares": shares}


def _say(text: str) -> None:
    print(visible(text), flush=True)  # noqa: T201 - a rank's stdout is what Horovod hands to the driver
