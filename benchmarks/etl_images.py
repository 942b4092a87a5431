"""The images that the ETL stage is measured on: 450×450 BMPs named and laid out as C-NMC's, with and without copies."""

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from etl.demo_cells.generator import synthesize

NUM_SUBJECTS = 24
NUM_TURNS = 8
SUBJECTS_PER_CLASS = 40
COPIED_BETWEEN = (("1", "2"), ("3", "4"), ("3", "5"), ("H1", "H2"), ("H3", "H4"), ("H3", "H5"))
"""Subjects who share images: few, as in C-NMC 2019, where 106 pairs are under eight pairs of names."""
SHARE_OF_COPIES = 106 / 15_114


def prepare(source: Path, num_images: int) -> list[str]:
    """Write distinct images, or find them: synthetic cells in all flips and turns.

    Returns:
        Their paths, in the order of a shuffled listing, so that no method profits from neighbours on disk.
    """
    done = source / "complete"
    if not done.exists() or int(done.read_text()) != num_images:
        for count, image in enumerate(_distinct(source.parent / "cells", num_images)):
            target = source / _name(count)
            target.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(target), image)
        done.write_text(str(num_images))
    files = sorted(str(path) for path in source.rglob("*.bmp"))
    return [files[index] for index in np.random.default_rng(0).permutation(len(files))]


def _distinct(cells: Path, num_images: int) -> Iterator[np.ndarray]:
    synthesize(cells, NUM_SUBJECTS, -(-num_images // (NUM_TURNS * NUM_SUBJECTS)))
    drawn = sorted(cells.rglob("UID_*.bmp")) + sorted(cells.rglob("[0-9]*.bmp"))
    for count in range(num_images):
        image = cv2.imread(str(drawn[count // NUM_TURNS]))
        turn = count % NUM_TURNS
        yield np.ascontiguousarray(np.rot90(image[:, ::-1] if turn >= 4 else image, turn % 4))


def _name(count: int) -> str:
    label = "all" if count % 2 else "hem"
    number = count // 2 % SUBJECTS_PER_CLASS
    return f"fold_{number % 3}/{label}/UID_{'' if count % 2 else 'H'}{number + 1}_{count}_1_{label}.bmp"


def link(files: list[str], source: Path, target: Path, with_copies: bool = False) -> None:
    """Make another source of the same files, without taking space; some are replaced by copies of others."""
    replaced = _copies(files) if with_copies else {}
    for path in files:
        to = target / Path(path).relative_to(source)
        to.parent.mkdir(parents=True, exist_ok=True)
        if not to.exists():
            os.link(replaced.get(path, path), to)


def _copies(files: list[str]) -> dict[str, str]:
    """Return, for some files, the file of another subject that takes their place."""
    by_subject: dict[str, list[str]] = {}
    for path in sorted(files):
        by_subject.setdefault(Path(path).name.split("_")[1], []).append(path)
    replaced = {}
    for index in range(max(1, round(SHARE_OF_COPIES * len(files)))):
        one, other = COPIED_BETWEEN[index % len(COPIED_BETWEEN)]
        number = index // len(COPIED_BETWEEN)
        replaced[by_subject[other][number]] = by_subject[one][number]
    return replaced
