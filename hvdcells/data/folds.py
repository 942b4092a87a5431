"""A dataset seen by one of its folds: that fold validates, the others train."""

import math
from collections.abc import Sequence
from typing import Any

from hvdcells.data.manifest import FoldSummary, ImageCounts, Manifest, SplitSummary
from hvdcells.errors import UserError


def with_validation_fold(manifest: Manifest, fold: int, where: str) -> Manifest:
    """Return a manifest whose validation split is one fold of the training split, and its training split the others.

    Counts, files and channel statistics follow, so that nothing of the fold is known to the training on the others.
    The test split, if there is one, stays as it is.

    Args:
        manifest: of a dataset written with `--split k-fold`.
        fold: the fold that validates.
        where: the dataset, named in the error.

    Raises:
        UserError: the dataset has no such fold.
    """
    folds, files = manifest.folds, manifest.splits.get("train")
    if str(fold) not in folds or files is None:
        raise UserError(
            f"the dataset {where} has " + (f"no fold {fold}" if folds else "no folds to validate on in turn"),
            f"one of the folds {', '.join(folds)}" if folds else "a dataset written with `hvdcells etl --split k-fold`",
            "correct data.validation_fold" if folds else "write the dataset again with `--split k-fold --num-folds K`",
        )
    others = [summary for number, summary in folds.items() if number != str(fold)]
    mean, std = pooled_moments(others)
    splits = {
        **manifest.splits,
        "train": SplitSummary(
            **_pooled_counts(others),
            images_per_fold={number: summary.images for number, summary in folds.items() if number != str(fold)},
            files=tuple(file for file in files.files if file.fold != fold),
        ),
        "validation": SplitSummary(
            **_pooled_counts([folds[str(fold)]]),
            images_per_fold={str(fold): folds[str(fold)].images},
            files=tuple(file for file in files.files if file.fold == fold),
        ),
    }
    return manifest.model_copy(update={"splits": splits, "channel_mean": mean, "channel_std": std})


def pooled_moments(folds: Sequence[FoldSummary]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel over several folds, from those of each."""
    images = sum(fold.images for fold in folds)
    means, deviations = [], []
    for channel in range(3):
        mean = sum(fold.images * fold.channel_mean[channel] for fold in folds) / images
        square = sum(fold.images * (fold.channel_std[channel] ** 2 + fold.channel_mean[channel] ** 2) for fold in folds)
        means.append(mean)
        deviations.append(math.sqrt(max(0.0, square / images - mean**2)))
    return tuple(means), tuple(deviations)


def _pooled_counts(folds: Sequence[ImageCounts]) -> dict[str, Any]:
    """Return the fields of `ImageCounts` over several folds; no subject is in two."""
    class_names = folds[0].images_per_class
    return {
        "images": sum(fold.images for fold in folds),
        "images_per_class": {name: sum(fold.images_per_class.get(name, 0) for fold in folds) for name in class_names},
        "images_per_subject": {name: num for fold in folds for name, num in fold.images_per_subject.items()},
        "class_per_subject": {name: kind for fold in folds for name, kind in fold.class_per_subject.items()},
    }
