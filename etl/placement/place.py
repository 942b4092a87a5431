"""Deciding the split and fold of every image, or that it is left out. Plain Python; the driver decides.

It is done twice by the same code: before decoding, as if no two subjects shared an image, so that decoding can write
the final files; and after it, with what only pixels tell (`Sharing`). Where both agree, nothing is written again.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import xxhash

from etl.options import EtlOptions
from etl.placement.balance import assign_groups
from etl.source.listing import Kind
from etl.source.rows import ImageRow
from hvdcells.data.columns import NO_FOLD, SPLITS
from hvdcells.errors import UserError

_RANK = {split: rank for rank, split in enumerate(SPLITS)}


class Copy(NamedTuple):
    """An image whose pixels another has too."""

    source: str
    kind: Kind


@dataclass(frozen=True)
class Sharing:
    """What only decoding tells: which images and subjects belong together, and what cannot be used."""

    copies: tuple[tuple[Copy, ...], ...] = ()
    """Sets of images with the same pixels."""
    group_of: Mapping[str, str] = field(default_factory=dict)
    """Leakage group of each subject that is joined with others: the first of their names."""
    num_rejected: Mapping[Kind, int] = field(default_factory=dict)
    """Listed images that turned out unusable."""


class Place(NamedTuple):
    """Where an image goes."""

    split: str
    fold: int
    group: str
    dropped: str
    """Why it is left out of the dataset; empty if it is not."""


@dataclass(frozen=True)
class Placement:
    """Where every image goes. Two that are equal put every image in the same place."""

    strategy: str
    group_of: Mapping[str, str]
    """Leakage group of the subjects that are not one by themselves."""
    part_of: Mapping[str, int]
    """Split (`grouped`), fold (`k-fold`) or side of training and validation (`official`) of each leakage group."""
    side_of: Mapping[str, str]
    """Of a subject that the source has on several sides: the one it stays on."""
    dropped_copies: Mapping[str, str]
    """Reason by source."""
    rows_per_row_group: Mapping[str, int]
    """Most rows of a row group, by split."""

    def place(self, source: str, kind: Kind | ImageRow) -> Place:
        """Return where an image goes."""
        group = self.group_of.get(kind.subject, kind.subject)
        side = _side(kind, self.strategy)
        kept = self.side_of.get(kind.subject, side)
        dropped = f"its subject is also in {kept}" if kept != side else self.dropped_copies.get(source, "")
        part = self.part_of.get(group) if _is_divided(side, dropped) else None
        if self.strategy == "k-fold":
            return Place(side, NO_FOLD if part is None else part, group, dropped)
        return Place(side if part is None else SPLITS[part], kind.fold, group, dropped)


def decide(
    num_per_kind: Mapping[Kind, int],
    options: EtlOptions,
    class_names: Sequence[str],
    has_validation: bool = True,
    sharing: Sharing | None = None,
) -> Placement:
    """Place all images as `options.split` says.

    Args:
        num_per_kind: listed images of each kind. They weigh in the division even where some were rejected or dropped,
            so that a few unusable images do not turn all of it over; kinds of which nothing is left do not.
        options: the strategy and its numbers.
        class_names: by label.
        has_validation: the source brings validation images. Where it does not, `official` takes whole leakage groups
            of the training side for it.
        sharing: what decoding told; before it, nothing.

    Raises:
        UserError: there are fewer leakage groups of a class than the split needs.
    """
    sharing = sharing or Sharing()
    strategy = options.split
    usable = {kind: num for kind, num in num_per_kind.items() if num > sharing.num_rejected.get(kind, 0)}
    side_of = {} if options.keep_leaks else _sides(usable, strategy)
    dropped = {} if options.keep_leaks else dict(_dropped_copies(sharing.copies, side_of, strategy))
    gone = Counter(sharing.num_rejected)
    gone.update(copy.kind for members in sharing.copies for copy in members if copy.source in dropped)
    left = {kind: num for kind, num in usable.items() if num > gone[kind]}
    undivided = Placement(strategy, sharing.group_of, {}, side_of, dropped, {})
    counts: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(class_names), np.int64))
    for kind, num in left.items():
        place = undivided.place("", kind)
        if _is_divided(place.split, place.dropped):
            counts[place.group][kind.label] += num
    proportions = _proportions(options, has_validation)
    part_of = {} if proportions is None else _assign(counts, proportions, options, class_names)
    divided = Placement(strategy, sharing.group_of, part_of, side_of, dropped, {})
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
    return Placement(strategy, sharing.group_of, part_of, side_of, dropped, rows)


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


def _side(kind: Kind | ImageRow, strategy: str) -> str:
    """Where an image is before groups are divided."""
    if strategy == "official":
        return kind.official_split
    return "test" if strategy == "k-fold" and kind.official_split == "test" else "train"


def _is_divided(side: str, dropped: str) -> bool:
    return side == "train" and not dropped


def _sides(num_per_kind: Iterable[Kind], strategy: str) -> dict[str, str]:
    """Return the side of each subject that is on several: the one that judges most finally."""
    sides = defaultdict(set)
    for kind in num_per_kind:
        sides[kind.subject].add(_side(kind, strategy))
    return {subject: max(among, key=_RANK.get) for subject, among in sides.items() if len(among) > 1}


def _dropped_copies(copies: Iterable[Sequence[Copy]], side_of: Mapping[str, str], strategy: str):
    """Yield (source, reason) of copies on the side that is trained on: train gives way to validation, both to test."""
    for members in copies:
        sides = {copy.source: _side(copy.kind, strategy) for copy in members}
        kept = [copy for copy in members if side_of.get(copy.kind.subject, sides[copy.source]) == sides[copy.source]]
        last = max((sides[copy.source] for copy in kept), key=_RANK.get, default="")
        for copy in kept:
            if sides[copy.source] != last:
                yield copy.source, f"the same pixels are also in {last}"


def _proportions(options: EtlOptions, has_validation: bool) -> np.ndarray | None:
    """Return the shares that the divided side is cut into; None if it stays whole."""
    if options.split == "grouped":
        return np.array(options.proportions)
    if options.split == "k-fold":
        return np.full(options.num_folds, 1 / options.num_folds)
    train, validation, _ = options.proportions
    return None if has_validation else np.array([train, validation]) / (train + validation)


def _assign(
    counts: Mapping[str, np.ndarray], proportions: np.ndarray, options: EtlOptions, class_names: Sequence[str]
) -> dict[str, int]:
    names = sorted(counts)
    table = np.array([counts[name] for name in names]).reshape(-1, len(class_names))
    num_parts = int((proportions > 0).sum())
    for name, num_groups in zip(class_names, (table > 0).sum(axis=0), strict=True):
        if num_groups < num_parts:
            raise UserError(
                f"the class {name!r} has {num_groups} leakage groups (subjects joined by shared pixels)",
                f"at least {num_parts}, one for each {'fold' if options.split == 'k-fold' else 'split'}",
                "add subjects, or ask for fewer parts (--proportions with a share of 0, or fewer --num-folds)",
            )
    order = np.array(
        [xxhash.xxh3_64_intdigest(name.encode(), seed=options.seed & (2**64 - 1)) for name in names], object
    )
    return dict(zip(names, assign_groups(table, proportions, order).tolist(), strict=True))
