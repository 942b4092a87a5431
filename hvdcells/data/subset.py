"""A share of the training images: what an experiment with few labels trains on."""

import dataclasses
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from hvdcells.data.dataset import Dataset
from hvdcells.experiment import Experiment


def open_for_training(location: str | os.PathLike[str], experiment: Experiment) -> Dataset:
    """Open a dataset as an experiment trains on it: with its validation fold and its share of the training images.

    Raises:
        UserError: there is no dataset, or no such fold.
    """
    return with_training_share(Dataset.open(location, experiment.data.validation_fold), experiment)


def with_training_share(dataset: Dataset, experiment: Experiment) -> Dataset:
    """Return the dataset with the experiment's share of its training images; the other splits stay whole.

    Counts by class and subject are those of the share. Channel statistics stay those of the whole training split.

    Raises:
        UserError: the dataset has no training images.
    """
    fraction, split = experiment.data.train_fraction, dataset.split("train")
    if fraction == 1:
        return dataset
    images = dataset.read_rows("train", ["label", "subject"])
    chosen = choose_share(images["label"].to_numpy(), images["subject"].to_numpy(), fraction, experiment.seed)
    kept = images[chosen]
    per_subject = kept["subject"].value_counts()
    summary = split.model_copy(
        update={
            "images": len(kept),
            "images_per_class": {
                name: int((kept["label"] == label).sum()) for label, name in enumerate(dataset.manifest.class_names)
            },
            "images_per_subject": {name: int(per_subject[name]) for name in sorted(per_subject.index)},
            "class_per_subject": {
                name: kind for name, kind in split.class_per_subject.items() if name in per_subject.index
            },
        }
    )
    manifest = dataset.manifest.model_copy(update={"splits": {**dataset.manifest.splits, "train": summary}})
    return dataclasses.replace(dataset, manifest=manifest, chosen_images={"train": chosen})


def choose_share(
    labels: npt.NDArray[Any], subjects: npt.NDArray[Any], fraction: float, seed: int
) -> npt.NDArray[np.bool_]:
    """Draw a share of the images: of each class that share, at least one image, and of its subjects alike.

    With the same seed, a larger share holds every smaller one.

    Args:
        labels: class of each image, shape (n,).
        subjects: subject of each image, shape (n,).
        fraction: share of the images, above 0 and up to 1.
        seed: of the draw.

    Returns:
        Booleans of shape (n,), True for the images drawn.
    """
    rng = np.random.default_rng((seed, len(labels)))
    # An image's turn: where it stands in the shuffled images of its subject, as a share of them. The first 10 % of
    # all turns are the first 10 % of each subject, give or take one image, which the shift deals out by lot.
    turns = np.empty(len(labels))
    for label in np.unique(labels):
        for subject in np.unique(subjects[labels == label]):
            members = np.flatnonzero((labels == label) & (subjects == subject))
            turns[rng.permutation(members)] = (np.arange(len(members)) + rng.uniform()) / len(members)
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        num_chosen = max(1, round(fraction * len(members)))
        chosen[members[np.argsort(turns[members], kind="stable")[:num_chosen]]] = True
    return chosen
