"""Dividing leakage groups among splits or folds, each whole."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import xxhash

from etl.options import EtlOptions
from hvdcells.errors import UserError

Counts = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]


def divide_groups(
    counts: Mapping[str, Counts], proportions: Shares, options: EtlOptions, class_names: Sequence[str]
) -> dict[str, int]:
    """Return the split or fold of each leakage group.

    Args:
        counts: images per class, shape (num_classes,), of each group.
        proportions: wanted share of each part, shape (num_parts,), adding up to 1; parts of share 0 stay empty.
        options: the seed, which decides between equals, and what the message says.
        class_names: by label.

    Raises:
        UserError: there are fewer groups of a class than parts, or they cannot be divided so that each part has it.
    """
    names = sorted(counts)
    table = np.array([counts[name] for name in names]).reshape(-1, len(class_names))
    num_parts = int((proportions > 0).sum())
    part_word = "fold" if options.split == "k-fold" else "split"
    num_groups = dict(zip(class_names, (table > 0).sum(axis=0).tolist(), strict=True))
    if few := [name for name, num in num_groups.items() if num < num_parts]:
        told = ", ".join(f"{num_groups[name]} of {name!r}" for name in few)
        raise UserError(
            f"there are too few leakage groups (subjects, joined where they share pixels): {told}",
            f"of each class at least {num_parts}, one for each {part_word}",
            _what_to_do(few[0], class_names),
        )
    order = [xxhash.xxh3_64_intdigest(name.encode(), seed=options.seed & (2**64 - 1)) for name in names]
    part_of = assign_groups(table, proportions, order)
    if lacking := _lacking(table, part_of, proportions, class_names):
        raise UserError(
            f"leakage groups cannot be divided so that every {part_word} has the class{'es' if lacking[1:] else ''} "
            f"{', '.join(map(repr, lacking))}: few subjects have them, and these have other classes too",
            f"of each class some images in each of {num_parts} {part_word}s",
            _what_to_do(lacking[0], class_names),
        )
    return dict(zip(names, part_of.tolist(), strict=True))


def _lacking(
    table: Counts, part_of: npt.NDArray[np.int64], proportions: Shares, class_names: Sequence[str]
) -> list[str]:
    """Return the classes that some part has no image of."""
    found = np.array([table[part_of == part].sum(axis=0) for part in np.flatnonzero(proportions > 0)])
    return [name for name, least in zip(class_names, found.min(axis=0), strict=True) if least == 0]


def _what_to_do(name: str, class_names: Sequence[str]) -> str:
    other = f"leave it aside (--ignore-class {name}), merge it (--map-class {name}=OTHER), " if class_names[2:] else ""
    return f"add subjects, {other}or ask for fewer parts (--proportions with a share of 0, or fewer --num-folds)"


def assign_groups(counts: Counts, proportions: Shares, order: Sequence[int]) -> npt.NDArray[np.int64]:
    """Assign whole groups to parts so that each class is divided as the proportions say, as nearly as groups allow.

    The largest groups go first, each to the part that lacks most of it; the last groups fill the gaps. Every part
    gets a group of each class, as long as there are enough; where groups hold several classes, as far as this finds.

    Args:
        counts: images per group and class, shape (num_groups, num_classes).
        proportions: wanted share of each part, shape (num_parts,), adding up to 1; parts of share 0 stay empty.
        order: decides between equals, one number per group.

    Returns:
        The part of each group, shape (num_groups,).
    """
    counts = np.asarray(counts, dtype=np.float64)
    proportions = np.asarray(proportions, dtype=np.float64)
    wanted = np.outer(proportions, counts.sum(axis=0))  # (parts, classes)
    lacking = wanted.copy()
    # What a class lacks counts by its own size, so that a rare class is divided with as much care as a common one.
    weight = 1 / np.maximum(counts.sum(axis=0), 1)
    members = np.zeros_like(wanted)
    part_of = np.full(len(counts), -1)
    open_parts = proportions > 0
    groups_left = (counts > 0).sum(axis=0)  # per class, not yet assigned
    for group in sorted(range(len(counts)), key=lambda index: (-counts[index].sum(), order[index])):
        present = counts[group] > 0
        # Once a class has no more groups left than parts without it, these parts come first: of several such classes,
        # those that lack most of them.
        without = members == 0  # (parts, classes)
        scarce = present & (without[open_parts].sum(axis=0) >= groups_left)
        num_lacking = np.where(open_parts, without[:, scarce].sum(axis=1), -1)
        allowed = num_lacking == num_lacking.max()
        gain = (np.minimum(lacking, counts[group]) * weight * present).sum(axis=1)
        overshoot = (np.maximum(counts[group] - lacking, 0) * weight * present).sum(axis=1)
        score = np.where(allowed, gain - overshoot, -np.inf)
        # Between equals, the part that is emptiest for its size.
        best = np.flatnonzero(score >= score.max() - 1e-12)
        fullness = members.sum(axis=1) / np.maximum(wanted.sum(axis=1), 1e-12)
        part = best[np.argmin(fullness[best])]
        part_of[group] = part
        lacking[part] -= counts[group]
        members[part] += counts[group]
        groups_left -= present
    return part_of
