"""Assigning leakage groups to splits or folds: integers in, integers out."""

import numpy as np


def assign_groups(counts: np.ndarray, proportions: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Assign whole groups to parts so that each class is divided as the proportions say, as nearly as groups allow.

    The largest groups go first, each to the part that lacks most of it; the last groups fill the gaps. Every part
    gets a group of each class, as long as there are enough.

    Args:
        counts: images per group and class, shape (num_groups, num_classes).
        proportions: wanted share of each part, shape (num_parts,), adding up to 1; parts of share 0 stay empty.
        order: decides between equals, one number per group, shape (num_groups,).

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
        empty = (members[:, present] == 0).any(axis=1) & open_parts
        # Once a class has no more groups left than parts without it, these parts come first.
        scarce = any((members[open_parts, c] == 0).sum() >= groups_left[c] for c in np.flatnonzero(present))
        allowed = empty if scarce and empty.any() else open_parts
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
