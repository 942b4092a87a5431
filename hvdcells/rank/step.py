"""One training step: loss, gradient, allreduce, update, with the time each part took.

The loss of a step is the sum over all ranks of weight · class weight · cross-entropy, divided by the number
of images in the global batch. Each rank sums its own share, and the gradients are summed over the ranks; so N ranks
with batch B do what one rank does with batch N·B, whatever share is padding.
"""

from collections.abc import Sequence
from copy import copy
from typing import Any, NamedTuple

import horovod.tensorflow as hvd
import tensorflow as tf
import tf_keras
from horovod.common.util import split_list

from hvdcells.experiment import Experiment
from hvdcells.rank.augmentation import augment
from hvdcells.rank.augmentation.mixing import mix, partner_of
from hvdcells.rank.losses import image_loss
from hvdcells.rank.models.either_keras import raw_variables
from hvdcells.rank.models.keras_internals import with_converted_layers


class StepResult(NamedTuple):
    """What one step returns; times are in seconds on this rank's clock."""

    loss: tf.Tensor
    """This rank's share of the sum of weighted losses, not yet divided by the number of images."""
    times: tf.Tensor
    """float64 (3,), as `time.time()`: the step began, its own gradient was there, the reduced one was there.

    The update is done when the step returns: TensorFlow's optimizer of graphs drops a time stamp's wait for it.
    """
    gradient_norm: tf.Tensor
    """Euclidean norm of the gradient over all variables, before clipping; not finite where float16 overflowed."""
    told: tf.Tensor
    """How many ranks were told to end."""


class TrainingStep:
    """The compiled training step of one rank over a model and an optimizer.

    Args:
        experiment: what to train with.
        model: a `tf_keras` or Keras 3 model that returns logits (batch, classes); its trainable variables are trained.
        optimizer: a `tf_keras` optimizer built for them, possibly a `LossScaleOptimizer`.
        class_weights: loss weight of each class, by label.
        num_groups: groups in which Horovod reduces the gradients; 0 lets it fuse as they come.
        timed: note the times of a step's parts; without, they are zero. To measure what the noting costs.
    """

    def __init__(
        self,
        experiment: Experiment,
        model: Any,
        optimizer: tf_keras.optimizers.Optimizer,
        class_weights: Sequence[float],
        num_groups: int,
        timed: bool = True,
    ) -> None:
        self.timed = timed
        self.exchanges = hvd.size() > 1
        self.experiment = experiment
        self.forward = with_converted_layers(model)
        self.variables = raw_variables(model.trainable_variables)
        self.optimizer = optimizer
        self.image_loss = image_loss(experiment.training)
        self.class_weights = tf.constant(class_weights, tf.float32)
        self.num_groups = num_groups
        accumulates = experiment.training.accumulation_steps > 1
        self.accumulated = [tf.Variable(tf.zeros_like(v)) for v in self.variables] if accumulates else []
        self.compression = getattr(hvd.Compression, experiment.communication.compression)
        self.compile()

    def compile(self) -> None:
        """Make the graphs anew, to be traced by the next step."""
        compiled = self.experiment.training.jit_compile
        # Not all of augmentation can be compiled, and Horovod's operations can not.
        self.differentiate = (
            tf.function(self._differentiate, autograph=False, jit_compile=True) if compiled else self._differentiate
        )
        self.update = tf.function(self._update, autograph=False)
        self.accumulate = tf.function(self._accumulate, autograph=False)

    def without_exchange(self) -> "TrainingStep":
        """Return the same step over the same variables, with this rank's own gradients in place of all ranks' sum."""
        alone = copy(self)
        alone.exchanges = False
        alone.compile()
        return alone

    @property
    def num_traces(self) -> int:
        """How often the step has been traced, which the next step will not be any more."""
        return sum(function.experimental_get_tracing_count() for function in (self.update, self.accumulate))

    def _update(
        self,
        batch: dict[str, tf.Tensor],
        seed: tf.Tensor,
        num_images: tf.Tensor,
        learning_rate: tf.Tensor,
        told: tf.Tensor | None = None,
    ) -> StepResult:
        """Take one update. `num_images`: images of weight one in it, over all ranks and accumulated batches.

        `told` is 1 on a rank that was told to end. It travels with the gradients: nothing more is negotiated.
        """
        begin = self._time_after([])
        loss, gradients = self._loss_and_gradients(batch, seed, num_images, begin)
        if self.accumulated:
            gradients = [g + a for g, a in zip(gradients, self.accumulated, strict=True)]
        own = self._time_after(gradients)
        *gradients, told = self._sum_over_ranks([*gradients, tf.zeros(()) if told is None else told])
        reduced = self._time_after(gradients)
        norm = self._apply(gradients, learning_rate)
        for variable in self.accumulated:
            variable.assign(tf.zeros_like(variable))
        return StepResult(loss, tf.stack([begin, own, reduced]), norm, told)

    def _accumulate(self, batch: dict[str, tf.Tensor], seed: tf.Tensor, num_images: tf.Tensor) -> StepResult:
        """Add this batch's gradient to what the next update reduces."""
        begin = self._time_after([])
        loss, gradients = self._loss_and_gradients(batch, seed, num_images, begin)
        added = [v.assign_add(g) for v, g in zip(self.accumulated, gradients, strict=True)]
        end = self._time_after(added)
        return StepResult(loss, tf.stack([begin, end, end]), tf.zeros(()), tf.zeros(()))

    def _loss_and_gradients(
        self, batch: dict[str, tf.Tensor], seed: tf.Tensor, num_images: tf.Tensor, begin: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Return the sum of weighted losses of this rank's batch, and the gradients of its share of the mean loss."""
        options = self.experiment.augmentation
        with tf.control_dependencies([begin]):
            images, own_share = augment(batch["image"], options, seed), None
            if options.mixup or options.cutmix:
                images, own_share = mix(images, options, seed)
            return self.differentiate(images, own_share, batch["label"], batch["weight"], num_images)

    def _differentiate(
        self,
        images: tf.Tensor,
        own_share: tf.Tensor | None,
        labels: tf.Tensor,
        weights: tf.Tensor,
        num_images: tf.Tensor,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Do `_loss_and_gradients` of images as the model takes them; `own_share`: of each in a mixed one, (batch,)."""
        with tf.GradientTape() as tape:
            logits = self.forward(images, training=True)
            losses = self._losses(labels, logits)
            if own_share is not None:
                losses = losses * own_share + self._losses(partner_of(labels), logits) * (1 - own_share)
            loss = tf.reduce_sum(losses * weights)
            target = self._scale(loss / num_images)
        return loss, [tf.convert_to_tensor(g) for g in tape.gradient(target, self.variables)]

    def _losses(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Return the loss of each image for labels, by the weight of their class: (batch,)."""
        if logits.shape[-1] != len(self.class_weights):
            raise ValueError(f"{logits.shape[-1]} logits an image for {len(self.class_weights)} classes")
        return self.image_loss(labels, logits) * tf.gather(self.class_weights, tf.cast(labels, tf.int32))

    def _sum_over_ranks(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """Return what is given, each tensor summed over all ranks and so the same on each of them.

        Those of a group are negotiated and reduced together; without groups, Horovod fuses what is there in a cycle.
        Ranks match what they reduce by its name.
        """
        if not self.exchanges:
            return gradients
        options = {"op": hvd.Sum, "compression": self.compression}
        if not self.num_groups:
            return [hvd.allreduce(g, name=f"gradient_{number}", **options) for number, g in enumerate(gradients)]
        reduced: list[tf.Tensor] = []
        for number, group in enumerate(split_list(gradients, self.num_groups)):
            reduced += hvd.grouped_allreduce(group, name=f"gradients_{number}", **options)
        return reduced

    def _time_after(self, tensors: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return the time at which all of these tensors are there, in seconds."""
        with tf.control_dependencies(tensors):
            return tf.timestamp() if self.timed else tf.zeros((), tf.float64)

    def _scale(self, loss: tf.Tensor) -> tf.Tensor:
        return self.optimizer.get_scaled_loss(loss) if self.experiment.training.scales_loss else loss

    def _apply(self, gradients: list[tf.Tensor], learning_rate: tf.Tensor) -> tf.Tensor:
        """Update the variables; return the norm of the gradient."""
        optimizer, clip_norm = self.optimizer, self.experiment.optimizer.gradient_clip_norm
        if self.experiment.training.scales_loss:
            gradients = optimizer.get_unscaled_gradients(gradients)
        norm = tf.linalg.global_norm(gradients)
        if clip_norm is not None:
            # A gradient that overflowed float16 must stay so, for the loss scale to see it: clipping keeps NaN.
            gradients, _ = tf.clip_by_global_norm(gradients, clip_norm, norm)
        optimizer.learning_rate.assign(learning_rate)
        optimizer.apply_gradients(zip(gradients, self.variables, strict=True))
        return norm
