"""TensorBoard's events of a run beside its curves: the experiment, two figures, and every step once."""

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from hvdcells import storage
from hvdcells.experiment import Experiment, flattened
from hvdcells.runs.directory import RunDirectory
from hvdcells.runs.predictions import read_predictions
from hvdcells.scores.classification import classification_scores
from hvdcells.scores.prediction_table import class_probabilities

HPARAMS_METRICS = ("validation/weighted_f1", "validation/macro_f1", "validation/auroc", "validation/loss")
"""Scalars by which TensorBoard's table of hyperparameters can be sorted."""


def write_experiment(writer: tf.summary.SummaryWriter, experiment: Experiment) -> None:
    """Write the experiment: its fields for the HParams table, and all of it as text."""
    # Imported once the first epoch is done: nothing should delay the first step, and other ranks need it never.
    from tensorboard.plugins.hparams import api as hparams

    values = flattened(experiment.model_dump(exclude={"name"}))
    with writer.as_default():
        hparams.hparams_config(hparams=[], metrics=[hparams.Metric(name) for name in HPARAMS_METRICS])
        hparams.hparams({name: _as_hparam(value) for name, value in values.items()})
        # Four spaces make it a block of code in TensorBoard's Markdown.
        text = "".join(f"    {line}\n" for line in experiment.to_json().splitlines())
        tf.summary.text("experiment", text, step=0)


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
