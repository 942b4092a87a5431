"""TensorBoard's events of a run beside its curves: the experiment, two figures, and every step once."""

import io
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import tensorflow as tf

from hvdcells import storage
from hvdcells.experiment import Experiment
from hvdcells.runs.directory import RunDirectory
from hvdcells.runs.predictions import read_predictions
from hvdcells.runs.tracking import curves_of, parameters_of
from hvdcells.scores.classification import classification_scores, positive_labels
from hvdcells.scores.prediction_table import class_probabilities

HPARAMS_METRICS = ("validation/weighted_f1", "validation/macro_f1", "validation/auroc", "validation/loss")
"""Scalars by which TensorBoard's table of hyperparameters can be sorted."""


class TensorBoard:
    """The events of a run directory, as a `Tracker`.

    Args:
        run: whose events they are.
        say: told that the figures could not be written.
    """

    def __init__(self, run: RunDirectory, say: Callable[[str], None]) -> None:
        self._run, self._say = run, say
        # TensorFlow writes events only to disk; elsewhere they are made aside and copied.
        self._aside = None if storage.is_local(run.location) else tempfile.TemporaryDirectory()
        self._events = self._aside.name if self._aside else run.tensorboard
        self._writer = tf.summary.create_file_writer(self._events)

    def begin(self, experiment: Experiment) -> None:
        """Write the experiment: its fields for the HParams table, and all of it as text."""
        # Imported once the first epoch is done: nothing should delay the first step, and other ranks need it never.
        from tensorboard.plugins.hparams import api as hparams

        with self._writer.as_default():
            hparams.hparams_config(hparams=[], metrics=[hparams.Metric(name) for name in HPARAMS_METRICS])
            hparams.hparams({name: _as_hparam(value) for name, value in parameters_of(experiment).items()})
            # Four spaces make it a block of code in TensorBoard's Markdown.
            text = "".join(f"    {line}\n" for line in experiment.to_json().splitlines())
            tf.summary.text("experiment", text, step=0)

    def epoch_done(self, line: Mapping[str, Any]) -> None:
        """Write the curves' points."""
        with self._writer.as_default():
            for name, value in curves_of(line, self._dataset["class_names"]).items():
                tf.summary.scalar(name, value, step=line["epoch"])
        self._flush()

    def end(self, is_whole: bool) -> None:
        """Write confusion matrix and ROC curves of the best epoch's validation predictions, and close."""
        if is_whole:
            self._write_figures()
        self._writer.close()
        if self._aside:
            self._aside.cleanup()

    def _write_figures(self) -> None:
        try:
            best = next(line["epoch"] for line in reversed(self._run.read_metrics()) if line["best"])
            names = tuple(self._dataset["class_names"])
            watched = [*positive_labels(names, tuple(self._dataset["positive_classes"])), 1][0]
            write_figures(self._writer, self._run, names, watched, best)
        except Exception as error:  # a picture must not cost the training that it shows
            self._say(f"TensorBoard's figures could not be written: {type(error).__name__}: {error}")
        self._flush()

    @cached_property
    def _dataset(self) -> dict[str, Any]:
        """What `run.json` says of the dataset."""
        found: dict[str, Any] = self._run.read_json(self._run.run)["dataset"]
        return found

    def _flush(self) -> None:
        self._writer.flush()
        if self._aside:
            for file in Path(self._events).iterdir():
                storage.write_bytes(storage.join(self._run.tensorboard, file.name), file.read_bytes())


def _as_hparam(value: Any) -> bool | float | str:
    return value if isinstance(value, bool | int | float | str) else str(value)


def write_figures(
    writer: tf.summary.SummaryWriter, run: RunDirectory, class_names: tuple[str, ...], watched: int, step: int
) -> None:
    """Write confusion matrix and ROC curves of the validation predictions that training has left.

    `watched` is, of two classes, the one whose curve is drawn.
    """
    from hvdcells.scores import plots  # and with it matplotlib, at the end of the run and on rank 0 alone

    predictions = read_predictions(run, "validation")
    labels, probabilities = predictions["label"].to_numpy(), class_probabilities(predictions, class_names)
    scores = classification_scores(labels, probabilities)
    with plots.styled():
        drawn = {
            "confusion_matrix": plots.confusion(scores["confusion_matrix"], class_names, "images"),
            "roc": plots.roc(labels, probabilities, class_names, scores, watched=watched),
        }
        for name, figure in drawn.items():
            if figure is None:  # one class only
                continue
            png = io.BytesIO()
            figure.savefig(png, format="png", dpi=120)
            image = tf.io.decode_png(png.getvalue(), channels=3)
            with writer.as_default():
                tf.summary.image(f"validation/{name}", image[tf.newaxis], step=step)


def drop_later_events(folder: str, last_step: int) -> None:
    """Remove from all event files of a folder the steps after `last_step`, which will be taken again.

    A last event that was not written to its end is removed too.
    """
    for name in storage.names_in(folder):
        location = storage.join(folder, name)
        with tempfile.TemporaryDirectory() as aside:
            found, kept = Path(aside) / "found", Path(aside) / "kept"
            found.write_bytes(storage.read_bytes(location))
            with tf.io.TFRecordWriter(str(kept)) as writer:
                for record in _whole_records(found):
                    if tf.compat.v1.Event.FromString(record).step <= last_step:
                        writer.write(record)
            if kept.stat().st_size < found.stat().st_size:
                storage.write_bytes(location, kept.read_bytes())


def _whole_records(file: Path) -> Iterator[bytes]:
    try:
        yield from tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    except tf.errors.DataLossError:
        return
