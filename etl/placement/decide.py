"""Deciding the placement of all images. Plain Python; the driver decides.

It is done twice by the same code: before decoding, as if no two images were the same, so that decoding can write the
final files; and after it, with what only pixels tell (`Duplicates`). Where both agree, nothing is written again.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from etl.options import EtlOptions
from etl.placement.balance import divide_groups
from etl.placement.place import Placement, is_divided, side_before_division
from etl.source.rows import Kind
from hvdcells.data.columns import SPLITS
from hvdcells.errors import UserError

_FINALITY = {split: rank for rank, split in enumerate(SPLITS)}
"""A test judges more finally than a validation, and that more than training."""


class DuplicateImage(NamedTuple):
    """An image whose pixels another has too."""

    source: str
    kind: Kind
    blank: bool = False
    """All its pixels are equal: it says nothing of whose it is."""


@dataclass(frozen=True)
class Duplicates:
    """What the pixels of all images tell: which are the same, or look the same, and which subjects they join."""

    identical_sets: tuple[tuple[DuplicateImage, ...], ...] = ()
    """Sets of images with the same pixels, but for those that are rejected."""
    group_of: Mapping[str, str] = field(default_factory=dict)
    """Leakage group of each subject that is joined with others: the first of their names."""
    near_pairs: tuple[tuple[str, str], ...] = ()
    """Sources of pairs that look the same and are not; the first few thousand of `num_near_pairs`."""
    num_near_pairs: int = 0
    label_conflicts: tuple[tuple[DuplicateImage, ...], ...] = ()
    """Sets of images with the same pixels and several labels."""
    rejected: Mapping[str, str] = field(default_factory=dict)
    """Reason by source of the images that are rejected for that."""


def decide_placement(
    num_per_kind: Mapping[Kind, int],
    options: EtlOptions,
    class_names: Sequence[str],
    has_validation: bool = True,
    duplicates: Duplicates | None = None,
    num_rejected: Mapping[Kind, int] | None = None,
) -> Placement:
    """Place all images as `options.split` says.

    Args:
        num_per_kind: listed images of each kind. They weigh in the division even where some were rejected or dropped,
            so that a few unusable images do not turn all of it over; kinds of which nothing is left do not.
        options: the strategy and its numbers.
        class_names: by label.
        has_validation: the source brings validation images. Where it does not, `official` takes whole leakage groups
            of the training side for it.
        duplicates: what decoding told; before it, nothing.
        num_rejected: listed images of each kind that turned out unusable; before decoding, none.

    Raises:
        UserError: there are fewer leakage groups of a class than the split needs.
    """
    duplicates = duplicates or Duplicates()
    strategy = options.split
    gone = Counter(num_rejected or {})
    usable = {kind: num for kind, num in num_per_kind.items() if num > gone[kind]}
    side_of = {} if options.keep_leaks else _sides(usable, strategy)
    dropped = {} if options.keep_leaks else dict(_dropped_duplicates(duplicates, side_of, strategy))
    # They are counted among `num_rejected`; where they are decoded already, they are left out of the files.
    dropped |= duplicates.rejected
    gone.update(image.kind for members in duplicates.identical_sets for image in members if image.source in dropped)
    left = {kind: num for kind, num in usable.items() if num > gone[kind]}
    undivided = Placement(strategy, duplicates.group_of, {}, side_of, dropped, {})
    counts: dict[str, npt.NDArray[np.int64]] = defaultdict(lambda: np.zeros(len(class_names), np.int64))
    for kind, num in left.items():
        place = undivided.place("", kind)
        if is_divided(place.split, place.dropped):
            counts[place.group][kind.label] += num
    proportions = _proportions(options, has_validation)
    part_of = {} if proportions is None else divide_groups(counts, proportions, options, class_names)
    divided = replace(undivided, part_of=part_of)
    num_images = Counter(dict.fromkeys(SPLITS, 0))
    for kind, num in left.items():
        place = divided.place("", kind)
        if not place.dropped:
            num_images[place.split] += num
    refuse_empty_training(num_images)
    # A split is read whole, and for k-fold a fold of the training split is.
    num_parts = {"train": options.num_folds} if strategy == "k-fold" else {}
    rows = {
        split: row_group_rows(num_images[split] // num_parts.get(split, 1), options.row_group_rows) for split in SPLITS
    }
    return replace(divided, rows_per_row_group=rows)


def refuse_empty_training(images_per_split: Mapping[str, int]) -> None:
    """Refuse a split that leaves nothing to train on.

    Raises:
        UserError: the training split is empty.
    """
    if images_per_split["train"] == 0:
        found = ", ".join(f"{number} × {name}" for name, number in images_per_split.items())
        raise UserError(
            f"the training split is empty ({found})",
            "images to train on: for C-NMC, folds 0 and 1",
            "name the root of the data set, or use --split grouped",
        )


def row_group_rows(num_images: int, most: int) -> int:
    """Return the rows of the row groups of what is read whole: at least eight of them, as far as there are images."""
    return max(1, min(most, -(-num_images // 8)))


def _sides(kinds: Iterable[Kind], strategy: str) -> dict[str, str]:
    """Return the side of each subject that is on several: the one that judges most finally."""
    sides: dict[str, set[str]] = defaultdict(set)
    for kind in kinds:
        sides[kind.subject].add(side_before_division(kind, strategy))
    return {subject: _most_final(among) for subject, among in sides.items() if len(among) > 1}


def _dropped_duplicates(duplicates: Duplicates, side_of: Mapping[str, str], strategy: str) -> Iterator[tuple[str, str]]:
    """Yield (source, reason) of copies on the side that is trained on: train gives way to validation, both to test."""
    for members in duplicates.identical_sets:
        sides = {image.source: side_before_division(image.kind, strategy) for image in members}
        kept = [
            image for image in members if side_of.get(image.kind.subject, sides[image.source]) == sides[image.source]
        ]
        if not kept:
            continue
        last = _most_final(sides[image.source] for image in kept)
        for image in kept:
            if sides[image.source] != last:
                yield image.source, f"the same pixels are also in {last}"


def _most_final(sides: Iterable[str]) -> str:
    return max(sides, key=lambda side: _FINALITY[side])


def _proportions(options: EtlOptions, has_validation: bool) -> npt.NDArray[np.float64] | None:
    """Return the shares that the divided side is cut into; None if it stays whole."""
    if options.split == "grouped":
        return np.array(options.proportions)
    if options.split == "k-fold":
        return np.full(options.num_folds, 1 / options.num_folds)
    train, validation, _ = options.proportions
    return None if has_validation else np.array([train, validation]) / (train + validation)
