"""What a phase trains: the head alone, or the backbone from a layer on. Each phase has its own optimizer and step."""

import difflib
import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from hvdcells.errors import UserError
from hvdcells.experiment import Experiment, Transfer
from hvdcells.experiment.phases import Phase
from hvdcells.rank.models.either_keras import inner_layers, keras_of, raw_variables
from hvdcells.rank.models.weights import backbone_of
from hvdcells.rank.optimizer import build_optimizer
from hvdcells.rank.step import TrainingStep


def begin_phase(
    phase: Phase,
    model: Any,
    experiment: Experiment,
    class_weights: Sequence[float],
    num_groups: int,
    forward: Callable[..., tf.Tensor] | None = None,
    timed: bool = True,
) -> TrainingStep:
    """Freeze what the phase does not train; build its optimizer, with fresh slots, and its step.

    `forward` takes the place of the model where batches hold its features; see `frozen_features`. `timed`: see
    `TrainingStep`.

    Raises:
        UserError: there is no layer to fine-tune from, or nothing to train.
    """
    freeze(model, phase, experiment.transfer)
    variables = raw_variables(model.trainable_variables)
    if not variables:
        raise UserError(
            f"{experiment.model.backbone} has nothing to train in the epochs of the {phase.trains}",
            "a backbone that ends in features: the head is then put on it",
            "let the function return features, or set transfer.head_epochs=0",
        )
    training = experiment.training
    optimizer = build_optimizer(experiment.optimizer, training.scales_loss, variables, training.ema_decay)
    # The head alone may have fewer gradients than there are groups, and Horovod takes no empty group.
    experiment = experiment.model_copy(update={"augmentation": experiment.augmentation_of(phase.trains)})
    step = TrainingStep(experiment, model, optimizer, class_weights, min(num_groups, len(variables)), timed)
    step.forward = forward or step.forward
    return step


def freeze(model: Any, phase: Phase, transfer: Transfer) -> None:
    """Set which layers train. Frozen batch normalisation infers: it uses its statistics and keeps them."""
    backbone = backbone_of(model)
    layers = list(inner_layers(backbone))
    frozen = layers[: _first_trained(layers, transfer)]  # before anything is trained: a wrong name is told at once
    if not transfer.freezes:
        return  # a function's model may have frozen layers of its own
    backbone.trainable = phase.trains == "all"
    if phase.trains == "head":
        return
    if transfer.freeze_batch_norm:
        frozen += [layer for layer in layers if isinstance(layer, keras_of(model).layers.BatchNormalization)]
    for layer in frozen:
        layer.trainable = False


def _first_trained(layers: list[Any], transfer: Transfer) -> int:
    if transfer.fine_tune_from is None:
        return len(layers) - math.ceil(transfer.fine_tune_fraction * len(layers))
    names = [layer.name for layer in layers]
    if transfer.fine_tune_from in names:
        return names.index(transfer.fine_tune_from)
    near = difflib.get_close_matches(transfer.fine_tune_from, names, n=5, cutoff=0.3) or names[-5:]
    raise UserError(
        f"the backbone has no layer {transfer.fine_tune_from!r}",
        f"the name of one of its {len(names)} layers, such as " + ", ".join(near),
        "correct transfer.fine_tune_from, or give transfer.fine_tune_fraction",
    )
