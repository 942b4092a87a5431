"""Demonstration cells of four classes: benign precursors and three stages of blasts, in subjects of several stages.

The stages are graded as those of B-lymphoblastic leukemia are, which are named by how far a cell has matured: the less
it has, the larger it is, the finer its chromatin, and the more and plainer its nucleoli. From the most mature on:
benign, pre-B, early pre-B, pro-B.
"""

import csv
import io

import numpy as np

from etl.demo_cells.cell import SMEAR_EFFECTS, CellKind
from etl.demo_cells.plan import NO_PART, CellSet, Picture, Subject

STAGES = ("benign", "early", "pre", "pro")
"""Classes in the order of their names, which is that of their labels."""
MIN_SUBJECTS_OF_STAGES = 12
"""Three that are benign and nine that are ill: enough of each class for three splits."""
TABLE = "cells.csv"
_MATURITY = tuple(STAGES.index(name) for name in ("benign", "pre", "early", "pro"))
_BENIGN_SHARE = 0.25
_NUM_BATCHES = 4
_SHARED_BY_BATCH = 0.75
"""Weight of the staining batch in a subject's smear, as in the set of two classes."""
_SECOND_STAGE_SHARE = 0.4
"""Of the cells of a subject who has two stages."""

_KINDS = {
    "benign": CellKind(88.0, (0.94, 0.05, 0.01), 0.02, 0.012, 0.300, 9.5, (0.97, 0.03), 0.14, 0.10),
    "pre": CellKind(96.0, (0.75, 0.22, 0.03), 0.04, 0.020, 0.170, 6.5, (0.04, 0.92, 0.04), 0.14, 0.10),
    "early": CellKind(105.0, (0.35, 0.50, 0.15), 0.06, 0.030, 0.090, 4.6, (0.0, 0.04, 0.92, 0.04), 0.14, 0.10),
    "pro": CellKind(114.0, (0.05, 0.45, 0.50), 0.08, 0.040, 0.030, 3.2, (0.0, 0.0, 0.0, 0.25, 0.45, 0.30), 0.14, 0.10),
}


def plan_stages(num_subjects: int, images_per_subject: int, seed: int) -> CellSet:
    """Plan a set of four classes: a folder each, and a table that names path, label and subject of every picture."""
    pictures = []
    for position, (subject, stages) in enumerate(_subjects(num_subjects, seed)):
        num_second = round(_SECOND_STAGE_SHARE * images_per_subject) if len(stages) > 1 else 0
        for cell in range(images_per_subject):
            label = stages[-1] if cell < num_second else stages[0]
            name = f"{subject.name}_{cell + 1:03d}.bmp"
            pictures.append(Picture(f"{STAGES[label]}/{name}", name, subject, label, (seed, 5, position, cell)))
    kinds = tuple(_KINDS[name] for name in STAGES)
    return CellSet(STAGES, kinds, _MATURITY, pictures, TABLE, _table(pictures))


def _subjects(num_subjects: int, seed: int) -> list[tuple[Subject, tuple[int, ...]]]:
    """Draw the subjects and their stages: a quarter benign; of the ill, two in three have a second stage.

    Each batch of staining holds subjects of all kinds, as in the set of two classes.
    """
    num_benign = max(3, round(_BENIGN_SHARE * num_subjects))
    rng = np.random.default_rng([seed, 6])
    batches = rng.standard_normal((_NUM_BATCHES, SMEAR_EFFECTS))
    own = np.sqrt(1 - _SHARED_BY_BATCH**2) * rng.standard_normal((num_subjects, SMEAR_EFFECTS))
    found = []
    for index in range(num_subjects):
        ill = index - num_benign
        if ill < 0:
            stages: tuple[int, ...] = (0,)
        else:
            # The main stage goes round, and so does the second one after it: the other two, or none.
            main, turn = ill % 3, ill // 3 % 3
            stages = (1 + main,) if turn == 2 else (1 + main, 1 + (main + 1 + turn) % 3)
        effects = _SHARED_BY_BATCH * batches[index % _NUM_BATCHES] + own[index]
        found.append((Subject(f"s{index + 1:03d}", stages[0], NO_PART, effects), stages))
    return found


def _table(pictures: list[Picture]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("path", "label", "subject"))
    for picture in pictures:
        writer.writerow((picture.path, STAGES[picture.label], picture.subject.name))
    return text.getvalue()
