"""Which demonstration cells a set holds: subjects, their parts and smears, and the name of each picture."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from etl.demo_cells.cell import BLAST, HEALTHY_CELL, SMEAR_EFFECTS, CellKind, Floats, Smear
from hvdcells.data.columns import CANCER, CNMC_CLASS_NAMES, HEALTHY

MIN_SUBJECTS = 8
"""Two classes in each of the four parts: three folds and the preliminary test."""
NUM_FOLDS = 3
TEST_PART = NUM_FOLDS
NUM_PARTS = NUM_FOLDS + 1
NO_PART = -1
ROOT = "C-NMC_Leukemia"
TEST_FOLDER = f"{ROOT}/validation_data/C-NMC_test_prelim_phase_data"
LABELS_CSV = f"{TEST_FOLDER}_labels.csv"
_HEALTHY_SHARE = 0.4
_BATCHES_PER_PART = 2
_SHARED_BY_BATCH = 0.75
"""Weight of the staining batch in a subject's smear; what is left, in variance, is the subject's own."""
_CELLS_PER_FIELD = 4
"""Cells cut from one field of view, which the second number of a name counts."""


@dataclass(frozen=True)
class Subject:
    """One made-up person; `part` is a fold, `TEST_PART`, or `NO_PART`. A person's cells may be of other classes too."""

    name: str
    label: int
    part: int
    smear_effects: Floats


@dataclass(frozen=True)
class Picture:
    """One cell to paint. `seed_key` makes its random numbers its own, whoever paints it and when."""

    path: str
    original_name: str
    subject: Subject
    label: int
    seed_key: tuple[int, ...]
    kind: CellKind | None = None
    """What is painted, where that is not what is typical of the label."""
    hospital: Smear | None = None
    """Factors that the subject's hospital puts on light and stain."""
    num_debris: int = 0


@dataclass(frozen=True)
class CellSet:
    """All that a set of demonstration cells holds."""

    class_names: tuple[str, ...]
    kinds: tuple[CellKind, ...]
    """By label."""
    maturity: tuple[int, ...]
    """Labels in the order in which cells mature, so that those beside each other are alike."""
    pictures: list[Picture]
    table_path: str
    """Path of the CSV that names labels, below the set."""
    table: str


def plan_cnmc(num_subjects: int, images_per_subject: int, seed: int) -> CellSet:
    """Plan a set of two classes in the layout of C-NMC 2019."""
    pictures = plan_pictures(num_subjects, images_per_subject, seed)
    return CellSet(
        CNMC_CLASS_NAMES, (HEALTHY_CELL, BLAST), (HEALTHY, CANCER), pictures, LABELS_CSV, labels_csv(pictures)
    )


def plan_subjects(num_subjects: int, seed: int) -> list[Subject]:
    """Draw the subjects: two in five healthy, both classes in every part.

    Smears are stained in batches that hold both classes, as a laboratory does it: otherwise, with so few subjects,
    chance alone would often tie a class to a stain.
    """
    num_healthy = max(NUM_PARTS, round(_HEALTHY_SHARE * num_subjects))
    batches = np.random.default_rng([seed, 4]).standard_normal((NUM_PARTS, _BATCHES_PER_PART, SMEAR_EFFECTS))
    subjects = []
    for label, count in ((CANCER, num_subjects - num_healthy), (HEALTHY, num_healthy)):
        rng = np.random.default_rng([seed, label])
        own = np.sqrt(1 - _SHARED_BY_BATCH**2) * rng.standard_normal((count, SMEAR_EFFECTS))
        for index in range(count):
            # The classes are dealt from opposite ends, so that the parts come out about equally large.
            part = index % NUM_PARTS if label == CANCER else TEST_PART - index % NUM_PARTS
            name = f"{'' if label == CANCER else 'H'}{index + 1}"
            batch = batches[part, index // NUM_PARTS % _BATCHES_PER_PART]
            subjects.append(Subject(name, label, part, _SHARED_BY_BATCH * batch + own[index]))
    return subjects


def plan_pictures(num_subjects: int, images_per_subject: int, seed: int) -> list[Picture]:
    """List the pictures of a set, those of the preliminary test in the order of their new names."""
    subjects = plan_subjects(num_subjects, seed)
    keys = [(position, cell) for position in range(num_subjects) for cell in range(images_per_subject)]
    training = [key for key in keys if subjects[key[0]].part != TEST_PART]
    test = [key for key in keys if subjects[key[0]].part == TEST_PART]
    # As in the real set, the new names tell nothing about subject or class.
    test = [test[index] for index in np.random.default_rng([seed, 2]).permutation(len(test))]
    pictures = []
    for position, cell in training:
        subject = subjects[position]
        name = _original_name(subject, cell)
        folder = f"{ROOT}/training_data/fold_{subject.part}/{CNMC_CLASS_NAMES[subject.label]}"
        pictures.append(Picture(f"{folder}/{name}", name, subject, subject.label, (seed, 3, position, cell)))
    for number, (position, cell) in enumerate(test, start=1):
        subject = subjects[position]
        name = _original_name(subject, cell)
        path = f"{TEST_FOLDER}/{number}.bmp"
        pictures.append(Picture(path, name, subject, subject.label, (seed, 3, position, cell)))
    return pictures


def labels_csv(pictures: Iterable[Picture]) -> str:
    """Text of the labels of the preliminary test; `Patient_ID` is the original file name, as in the real set."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("Patient_ID", "new_names", "labels"))
    for picture in pictures:
        if picture.subject.part == TEST_PART:
            writer.writerow((picture.original_name, picture.path.rpartition("/")[2], picture.subject.label))
    return text.getvalue()


def _original_name(subject: Subject, cell: int) -> str:
    field, number = divmod(cell, _CELLS_PER_FIELD)
    return f"UID_{subject.name}_{field + 1}_{number + 1}_{CNMC_CLASS_NAMES[subject.label]}.bmp"
