"""The plans of a training's epochs, and class-balanced sampling: how often each image is used in an epoch."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from hvdcells.data.begun_epoch import Part, plan_rest
from hvdcells.data.dataset import Dataset
from hvdcells.data.shard_plan import EpochPlan, plan_epoch
from hvdcells.experiment import Experiment


def plan_training(
    dataset: Dataset, experiment: Experiment, num_ranks: int, epochs: Iterable[int], begun: Sequence[Part] = ()
) -> list[EpochPlan]:
    """Return the plan of each epoch over the training split, with the sampling that the experiment asks for.

    Args:
        dataset: as the experiment sees it.
        experiment: what is trained.
        num_ranks: world size.
        epochs: which, from 0.
        begun: what was done of the first of them.

    Raises:
        UserError: fewer row groups than ranks, or files that are not those of the manifest.
    """
    rows, seed = dataset.rows_per_row_group("train"), experiment.seed
    labels = None
    if experiment.data.sampling == "balanced":
        labels = dataset.read_rows("train", ["label"])["label"].to_numpy()
    plans = []
    for epoch in epochs:
        uses = None if labels is None else balanced_uses(labels, seed, epoch)
        plans.append(plan_epoch(rows, num_ranks, experiment.data.batch_size, seed=seed, epoch=epoch, uses=uses))
    if begun:
        plans[0] = plan_rest(plans[0], begun, rows, seed, experiment.data.shuffle_buffer)
    return plans


def balanced_uses(labels: NDArray[np.int_], seed: int, epoch: int) -> NDArray[np.int64]:
    """Return how often each image is used in an epoch: at least once, and each class as often as the largest one.

    Images of a class are used equally often, give or take once; who has the one use more is drawn anew each epoch.

    Args:
        labels: of all images, int (num_images,).
        seed: of the experiment.
        epoch: from 0.

    Returns:
        int64 (num_images,). Its sum is the number of classes that have images times the images of the largest one.
    """
    rng = np.random.default_rng((seed, epoch, 1))
    uses = np.ones(len(labels), np.int64)
    counts = np.bincount(labels)
    for label in counts.nonzero()[0]:
        often, once_more = divmod(int(counts.max()), int(counts[label]))
        of_class = np.flatnonzero(labels == label)
        uses[of_class] = often
        uses[rng.permutation(of_class)[:once_more]] += 1
    return uses
