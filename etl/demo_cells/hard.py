"""What makes a set hard: cells between two kinds, wrong labels, hospitals that stain in their own way, debris.

So models can be told apart, which all reach 1.0 on the easy set: some cells no model can name, and some it names only
if it looks past the stain.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from etl.demo_cells.cell import CellKind, Smear
from etl.demo_cells.plan import CellSet, Picture

BETWEEN_SHARE = 0.5
"""Of the cells, those that lie between their own kind and a neighbour of it."""
FURTHEST = 0.5
"""How far such a cell is from its kind at most, the neighbour being at 1: half way, where the label is arbitrary."""
MISLABELLED_SHARE = 0.02
"""Of the cells, those that are a neighbouring kind under their label."""
NUM_HOSPITALS = 3
_STAIN_SPREAD = 0.12
"""Standard deviation of the logarithm of a hospital's absorption, by channel; subjects of one differ by 0.04–0.1."""
_LIGHT_SPREAD = 0.08
_MEAN_DEBRIS = 1.5
"""Dots of precipitated stain on a cell, on average."""


def harden(cells: CellSet, seed: int) -> CellSet:
    """Return the set with what is hard about it; names, subjects, labels and splits stay."""
    hospitals = _hospitals(seed)
    rng = np.random.default_rng([seed, 7])
    num_wrong = round(MISLABELLED_SHARE * len(cells.pictures))
    wrong = set(rng.choice(len(cells.pictures), num_wrong, replace=False).tolist())
    # Subjects come in the order of their classes: dealt in turn, each hospital has subjects of all.
    subjects = list(dict.fromkeys(picture.subject.name for picture in cells.pictures))
    hospital_of = {name: hospitals[index % NUM_HOSPITALS] for index, name in enumerate(subjects)}
    pictures = []
    for index, picture in enumerate(cells.pictures):
        kind = _kind(picture, cells, index in wrong, rng)
        num_debris = int(rng.poisson(_MEAN_DEBRIS))
        stain = hospital_of[picture.subject.name]
        pictures.append(replace(picture, kind=kind, hospital=stain, num_debris=num_debris))
    return replace(cells, pictures=pictures)


def _hospitals(seed: int) -> list[Smear]:
    """Draw each hospital as factors of what a smear has; they are kept apart, whatever the seed."""
    rng = np.random.default_rng([seed, 8])
    effects = rng.standard_normal((NUM_HOSPITALS, 2, 3))
    effects = (effects - effects.mean(axis=0)) / effects.std(axis=0)
    return [
        Smear(
            light=np.exp(_LIGHT_SPREAD * light), stain=np.exp(_STAIN_SPREAD * stain), size_factor=1, blur_px=1, noise=1
        )
        for light, stain in effects
    ]


def _kind(picture: Picture, cells: CellSet, is_wrong: bool, rng: np.random.Generator) -> CellKind:
    place = cells.maturity.index(picture.label)
    neighbours = [at for at in (place - 1, place + 1) if 0 <= at < len(cells.maturity)]
    own, other = (cells.kinds[cells.maturity[at]] for at in (place, int(rng.choice(neighbours))))
    is_between, share = rng.random() < BETWEEN_SHARE, rng.uniform(0, FURTHEST)
    if is_wrong:
        return other
    return blend(own, other, share) if is_between else own


def blend(one: CellKind, other: CellKind, share: float) -> CellKind:
    """Return the kind that has gone `share` of the way from one kind to another."""

    def mixed(first: Sequence[float], second: Sequence[float]) -> tuple[float, ...]:
        length = max(len(first), len(second))
        both = [(*values, *[0.0] * (length - len(values))) for values in (first, second)]
        return tuple((1 - share) * a + share * b for a, b in zip(*both, strict=True))

    values: dict[str, Any] = {}
    for name, value in vars(one).items():
        to = getattr(other, name)
        values[name] = mixed(value, to) if isinstance(value, tuple) else mixed((value,), (to,))[0]
    return CellKind(**values)
