"""One training step: loss, gradient, allreduce, update, with the time each part took.

The loss of a step is the sum over all ranks of weight · class weight · cross-entropy, divided by the number
of images in the global batch. Each rank sums its own share, `hvd.DistributedGradientTape` sums the gradients
over the ranks; so N ranks with batch B do what one rank does with batch N·B, whatever share is padding.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import horovod.tensorflow as hvd
import tensorflow as tf
import tf_keras

from hvdcells.experiment import Experiment
from hvdcells.rank.augmentation import augment
from hvdcells.rank.losses import image_loss
from hvdcells.rank.models.either_keras import raw_variables

# AutoGraph converts control flow on tensors, which a user's layer may have and nothing else here has; converting
# Horovod's code and ours is most of the tracing: 2 s of 2.5 s for the small CNN.
_as_it_is = tf.autograph.experimental.do_not_convert


class StepResult(NamedTuple):
    """What one step returns; times are in seconds on this rank's clock."""

    loss: tf.Tensor
    """This rank's share of the sum of weighted losses, not yet divided by the number of images."""
    times: tf.Tensor
    """float64 (3,), as `time.time()`: the step began, its own gradient was there, the reduced one was there.

    The update is done when the step returns: TensorFlow's optimizer of graphs drops a time stamp's wait for it.
    """


class _LocalTape(tf.GradientTape):
    """A tape that adds accumulated gradients to this rank's own and notes when they are there.

    `hvd.DistributedGradientTape` makes a subclass of the tape it is given and reduces what this returns.
    """

    accumulated: Sequence[tf.Variable] | None = None
    time_after: Callable[[Sequence[tf.Tensor]], tf.Tensor]

    def gradient(self, target, sources, output_gradients=None, **options):
        """Return the gradients of this rank, as dense tensors."""
        gradients = [tf.convert_to_tensor(g) for g in super().gradient(target, sources, output_gradients, **options)]
        if self.accumulated:
            gradients = [g + a for g, a in zip(gradients, self.accumulated, strict=True)]
        self.gradient_time = self.time_after(gradients)
        return gradients


class TrainingStep:
    """The compiled training step of one rank over a model and an optimizer.

    Args:
        experiment: what to train with.
        model: a `tf_keras` or Keras 3 model that returns logits (batch, 1); its trainable variables are trained.
        optimizer: a `tf_keras` optimizer built for them, possibly a `LossScaleOptimizer`.
        class_weights: loss weight of label 0 and of label 1.
        num_groups: groups in which Horovod reduces the gradients; 0 lets it fuse as they come.
        timed: note the times of a step's parts; without, they are zero. To measure what the noting costs.
    """

    def __init__(
        self,
        experiment: Experiment,
        model: Any,
        optimizer: tf_keras.optimizers.Optimizer,
        class_weights: tuple[float, float],
        num_groups: int,
        timed: bool = True,
    ) -> None:
        self.timed = timed
        self.experiment = experiment
        self.model = model
        self.variables = raw_variables(model.trainable_variables)
        self.optimizer = optimizer
        self.image_loss = image_loss(experiment.training)
        self.class_weights = tf.constant(class_weights, tf.float32)
        self.num_groups = num_groups
        accumulates = experiment.training.accumulation_steps > 1
        self.accumulated = [tf.Variable(tf.zeros_like(v)) for v in self.variables] if accumulates else None
        self.compression = getattr(hvd.Compression, experiment.communication.compression)
        self.update = tf.function(self._update)
        self.accumulate = tf.function(self._accumulate)

    @property
    def num_traces(self) -> int:
        """How often the step has been traced, which the next step will not be any more."""
        return sum(function.experimental_get_tracing_count() for function in (self.update, self.accumulate))

    def _loss(self, batch: dict[str, tf.Tensor], seed: tf.Tensor) -> tf.Tensor:
        """Return the sum of weighted losses of this rank's batch."""
        images = _as_it_is(augment)(batch["image"], self.experiment.augmentation, seed)
        logits = self.model(images, training=True)
        labels = batch["label"]
        losses = _as_it_is(self.image_loss)(labels[:, tf.newaxis], logits)
        weights = batch["weight"] * tf.gather(self.class_weights, tf.cast(labels, tf.int32))
        return tf.reduce_sum(losses * weights)

    def _update(
        self, batch: dict[str, tf.Tensor], seed: tf.Tensor, num_images: tf.Tensor, learning_rate: tf.Tensor
    ) -> StepResult:
        """Take one update. `num_images`: images of weight one in it, over all ranks and accumulated batches."""
        begin = self._time_after([])
        with tf.control_dependencies([begin]), _LocalTape() as tape:
            loss = self._loss(batch, seed)
            target = self._scale(loss / num_images)
        reducer = self._reducer(tape)
        reducer.accumulated, reducer.time_after = self.accumulated, self._time_after
        gradients = _as_it_is(reducer.gradient)(target, self.variables)
        reduced = self._time_after(gradients)
        _as_it_is(self._apply)(gradients, learning_rate)
        for variable in self.accumulated or ():
            variable.assign(tf.zeros_like(variable))
        return StepResult(loss, tf.stack([begin, reducer.gradient_time, reduced]))

    def _reducer(self, tape: _LocalTape) -> tf.GradientTape:
        """Return the tape whose gradients are summed over the ranks."""
        return hvd.DistributedGradientTape(
            tape, op=hvd.Sum, compression=self.compression, groups=self.num_groups or None
        )

    def _accumulate(self, batch: dict[str, tf.Tensor], seed: tf.Tensor, num_images: tf.Tensor) -> StepResult:
        """Add this batch's gradient to what the next update reduces."""
        begin = self._time_after([])
        with tf.control_dependencies([begin]), tf.GradientTape() as tape:
            loss = self._loss(batch, seed)
            target = self._scale(loss / num_images)
        gradients = tape.gradient(target, self.variables)
        added = [v.assign_add(tf.convert_to_tensor(g)) for v, g in zip(self.accumulated, gradients, strict=True)]
        end = self._time_after(added)
        return StepResult(loss, tf.stack([begin, end, end]))

    def _time_after(self, tensors: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return the time at which all of these tensors are there, in seconds."""
        with tf.control_dependencies(tensors):
            return tf.timestamp() if self.timed else tf.zeros((), tf.float64)

    def _scale(self, loss: tf.Tensor) -> tf.Tensor:
        return self.optimizer.get_scaled_loss(loss) if self.experiment.training.mixed_precision else loss

    def _apply(self, gradients: list[tf.Tensor], learning_rate: tf.Tensor) -> None:
        optimizer, clip_norm = self.optimizer, self.experiment.optimizer.gradient_clip_norm
        if self.experiment.training.mixed_precision:
            gradients = optimizer.get_unscaled_gradients(gradients)
        if clip_norm is not None:
            # A gradient that overflowed float16 must stay so, for the loss scale to see it: clipping keeps NaN.
            gradients, _ = tf.clip_by_global_norm(gradients, clip_norm)
        optimizer.learning_rate.assign(learning_rate)
        optimizer.apply_gradients(zip(gradients, self.variables, strict=True))
