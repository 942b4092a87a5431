"""Features of a frozen backbone, computed once over all ranks; the epochs of the head train on them.

While the backbone is frozen and images are not augmented, its features are the same in every epoch. Each rank computes
those of its share, all ranks gather all of them, and the batches of an epoch are put together from them as they are
from images: the same images in the same order, with the same seeds.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any

import horovod.tensorflow as hvd
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from hvdcells.data.begun_epoch import order_of_rank
from hvdcells.data.dataset import Dataset
from hvdcells.data.shard_plan import EpochPlan, plan_epoch
from hvdcells.experiment import NO_AUGMENTATION, Experiment
from hvdcells.experiment.backbones import is_function
from hvdcells.experiment.phases import Phase
from hvdcells.rank.input.batches import Batch, assemble_batches, with_repeats
from hvdcells.rank.input.buffers import ArrayPool
from hvdcells.rank.input.reader import RowGroup
from hvdcells.rank.models.either_keras import keras_of
from hvdcells.rank.models.keras_internals import has_random_layers
from hvdcells.rank.models.weights import backbone_of
from hvdcells.rank.prediction import Predictor
from hvdcells.runs import heartbeat
from hvdcells.runs.image_range import Sample

SPLITS = ("train", "validation")
FIRST_OF_HEAD = "dropout"
"""The layer that the head begins with; what goes into it are the features."""


class FrozenFeatures:
    """The features of the training and the validation split of a classifier whose backbone is frozen.

    Args:
        model: the classifier.
        dataset: as the experiment sees it.
        experiment: what is trained.
        rank: this rank.
        num_ranks: world size.
    """

    def __init__(self, model: Any, dataset: Dataset, experiment: Experiment, rank: int, num_ranks: int) -> None:
        self.dataset, self.data, self.seed = dataset, experiment.data, experiment.seed
        self.rank, self.num_ranks = rank, num_ranks
        names = [layer.name for layer in model.layers]
        self._first, *self._rest = model.layers[names.index(FIRST_OF_HEAD) :]
        self._backbone = Predictor(keras_of(model).Model(model.inputs, self._first.input))
        self._of_split: dict[str, NDArray[np.float32]] = {}
        self._labels: NDArray[np.int_]

    def head(self, features: tf.Tensor, training: bool) -> tf.Tensor:
        """Return the logits of features, by the layers of the classifier itself."""
        values = self._first(features, training=training)
        for layer in self._rest:
            values = layer(values)
        return values

    def compute(self, open_batches: Callable[..., AbstractContextManager[Any]]) -> str:
        """Compute the features of both splits over all ranks, from the weights as they are now.

        Args:
            open_batches: opens the batches of a split by its plans, as `rank_batches`.

        Returns:
            What was done, in words.
        """
        began = time.perf_counter()
        for split in SPLITS:
            plan = plan_epoch(self.dataset.rows_per_row_group(split), self.num_ranks, self.data.batch_size)
            with open_batches(split, [plan]) as batches:
                is_sampled = split == "validation"
                features = self._backbone.predict(iter(batches), plan.num_steps, sum(plan.images), samples=is_sampled)
            self._of_split[split] = features
        self._labels = self.dataset.read_rows("train", ["label"])["label"].to_numpy()
        num_bytes = sum(features.nbytes for features in self._of_split.values())
        train, validation = (len(self._of_split[split]) for split in SPLITS)
        return (
            f"features of {train:,} training and {validation:,} validation images computed once, in "
            f"{time.perf_counter() - began:.1f} s ({num_bytes / 1e6:.1f} MB on each worker): the head trains on them"
        )

    def batches(self, plan: EpochPlan) -> Iterator[Batch]:
        """Yield this rank's batches of an epoch: those it would read, with features in place of images."""
        features, places = self._of_split["train"], self.dataset.row_groups("train")
        arrays = ArrayPool((plan.batch_size, features.shape[1]), np.float32)

        def row_groups() -> Iterator[RowGroup]:
            for index in plan.row_groups[self.rank]:
                rows = np.arange(places[index].first_row, places[index].first_row + places[index].num_rows)
                yield RowGroup(features[rows], self._labels[rows].astype(np.int32), rows)

        rng = order_of_rank(self.seed, plan.epoch, self.rank)
        all_steps = assemble_batches(
            with_repeats(row_groups(), plan, self.rank),
            plan.images[self.rank],
            plan.num_steps,
            arrays,
            self.data.shuffle_buffer,
            rng,
        )
        for batch in islice(all_steps, plan.first_step, None):
            yield {name: tf.convert_to_tensor(array) for name, array in batch.items()}

    def gathered_sample(self) -> Sample:
        """Return the sample of the validation images, on every rank."""
        rows, colors, _ = self._backbone.gathered_sample()
        return Sample(rows, colors, self._of_split["validation"][rows])

    def validation_logits(self) -> NDArray[np.float32]:
        """Return the logits of all validation images, in row order, the same on every rank."""
        logits = self.head(tf.constant(self._of_split["validation"]), training=False)
        heartbeat.at("gathering predictions", tensor="validation_logits")
        # Ranks decide by them when to stop: on other processors the last bits could differ.
        return np.asarray(hvd.broadcast(logits, root_rank=0, name="validation_logits"), np.float32)


def features_stay(experiment: Experiment, phase: Phase, dataset: Dataset, model: Any) -> bool:
    """Whether a phase sees the same features in each epoch, and these fit into memory.

    Not with a function of the user's, whose layers may do in training what they like, nor with an application whose
    own layers draw at random in training (EfficientNet drops whole blocks), which frozen ones do as well.
    """
    is_plain = experiment.augmentation_of(phase.trains) == NO_AUGMENTATION
    if phase.trains != "head" or not is_plain or is_function(experiment.model.backbone):
        return False
    channels = model.get_layer(FIRST_OF_HEAD).input.shape[-1]
    num_images = sum(dataset.split(split).images for split in SPLITS)
    return not has_random_layers(backbone_of(model)) and num_images * channels * 4 <= experiment.data.cache_bytes
