"""The checkpoints: whole or not there, on disk or in S3."""

import io
import zipfile
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.rank.models.either_keras import raw_variables
from hvdcells.rank.models.keras_internals import loss_scale_variables
from hvdcells.runs import heartbeat
from hvdcells.runs.directory import RunDirectory
from hvdcells.runs.progress import Progress, remove_checkpoints, write_progress


def state_variables(model: Any, optimizer: tf_keras.optimizers.Optimizer) -> list[tf.Variable]:
    """Return all that a training step reads and changes: weights, moving statistics, slots, iterations, loss scale."""
    return [*raw_variables(model.variables), *optimizer.variables, *loss_scale_variables(optimizer)]


def save_checkpoint(
    run: RunDirectory, model: Any, optimizer: tf_keras.optimizers.Optimizer, progress: Progress
) -> None:
    """Write the checkpoint of the epoch just done; those of the best and of this epoch are kept.

    The variables are written first. The file of the progress, written after them, makes the checkpoint whole; what
    was there before is removed after that.
    """
    heartbeat.at("writing a checkpoint", epoch=progress.epochs_done, may_be_long=True)
    arrays = {_key(number, v): v.numpy() for number, v in enumerate(state_variables(model, optimizer))}
    with storage.new_file(run.checkpoint_variables(progress.epochs_done)) as file:
        np.savez(file, **arrays)
    write_progress(run, progress)
    remove_checkpoints(run, keep=(progress.epochs_done, progress.best_epoch))


def restore_checkpoint(run: RunDirectory, model: Any, optimizer: tf_keras.optimizers.Optimizer, epoch: int) -> None:
    """Set model and optimizer to the variables of the checkpoint of an epoch, counted from 1.

    Raises:
        UserError: the file is damaged, or of another model.
    """
    location = run.checkpoint_variables(epoch)
    try:
        with np.load(io.BytesIO(storage.read_bytes(location))) as file:
            arrays = dict(file)  # reads all of it, and with that compares the check sums
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(
            f"the checkpoint {location} is damaged: {error}",
            "the file as it was written",
            "delete it and give --resume again: the run then goes on from the checkpoint before it, or anew",
        ) from error
    variables = {_key(number, v): v for number, v in enumerate(state_variables(model, optimizer))}
    shapes = {key: tuple(v.shape) for key, v in variables.items()}
    if shapes != {key: array.shape for key, array in arrays.items()}:
        raise UserError(
            f"the checkpoint {location} holds other variables than the run's model and optimizer",
            f"the {len(shapes)} variables that this version of hvdcells makes of the run's experiment",
            "go on with the version of hvdcells that began the run (run.json names it), or train anew",
        )
    for key, variable in variables.items():
        variable.assign(arrays[key])


def _key(number: int, variable: tf.Variable) -> str:
    return f"{number:05d} {variable.name}"
