"""The checkpoints: whole or not there, on disk or in S3."""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

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


OF_RANKS = "of ranks: "
"""Before the names of arrays that hold something of each rank: (ranks, …)."""


def save_checkpoint(
    run: RunDirectory,
    model: Any,
    optimizer: tf_keras.optimizers.Optimizer,
    progress: Progress,
    of_ranks: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Write the checkpoint of this moment; those of the best and of the last whole epoch are kept.

    The variables are written first. The file of the progress, written after them, makes the checkpoint whole; what
    was there before is removed after that.

    Args:
        run: where.
        model: of this rank.
        optimizer: of this rank.
        progress: how far the run has come; with parts of an epoch where the moment lies within one.
        of_ranks: what each rank holds for itself within an epoch, by name.
    """
    heartbeat.at("writing a checkpoint", epoch=progress.epochs_done, may_be_long=True)
    arrays = {_key(number, v): v.numpy() for number, v in enumerate(state_variables(model, optimizer))}
    arrays |= {OF_RANKS + name: array for name, array in (of_ranks or {}).items()}
    with storage.new_file(run.checkpoint_variables(progress.epochs_done, progress.steps_done)) as file:
        np.savez(file, **arrays)
    write_progress(run, progress)
    remove_checkpoints(run, (progress.epochs_done, progress.best_epoch), progress.steps_done)


def restore_checkpoint(
    run: RunDirectory, model: Any, optimizer: tf_keras.optimizers.Optimizer, epoch: int, steps: int = 0
) -> dict[str, NDArray[Any]]:
    """Set model and optimizer to the variables of the checkpoint after epochs and steps of the next one.

    Returns:
        What each rank held for itself, by name; nothing where the checkpoint is of an epoch's end.

    Raises:
        UserError: the file is damaged, or of another model.
    """
    location = run.checkpoint_variables(epoch, steps)
    try:
        with np.load(io.BytesIO(storage.read_bytes(location))) as file:
            arrays = dict(file)  # reads all of it, and with that compares the check sums
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(
            f"the checkpoint {location} is damaged: {error}",
            "the file as it was written",
            "delete it and give --resume again: the run then goes on from the checkpoint before it, or anew",
        ) from error
    of_ranks = {key.removeprefix(OF_RANKS): arrays.pop(key) for key in list(arrays) if key.startswith(OF_RANKS)}
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
    return of_ranks


def _key(number: int, variable: tf.Variable) -> str:
    return f"{number:05d} {variable.name}"
