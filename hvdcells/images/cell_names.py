"""File names, folders and the labels CSV of C-NMC 2019, read without looking at any image."""

import csv
import io
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from hvdcells import storage
from hvdcells.data.columns import CNMC_CLASS_NAMES

LABEL_COLUMNS = ("Patient_ID", "new_names", "labels")
"""Of the labels CSV of the preliminary test."""
_UID = re.compile(r"UID_(?P<subject>H?\d+)_(?P<image>\d+)_(?P<cell>\d+)_(?P<class_name>all|hem)", re.IGNORECASE)
_FOLD = re.compile(r"fold_(\d+)", re.IGNORECASE)
# A million images lie in a handful of folders: what a folder says is found out once.
_once_a_folder = lru_cache(4096)


@dataclass(frozen=True)
class CellName:
    """What `UID_<subject>_<image>_<cell>_{all,hem}` says. `subject` is upper case: `11` and `H11` are two people."""

    subject: str
    image: str
    cell: str
    class_name: str

    @property
    def label(self) -> int:
        """Label of the class: cancer is 1."""
        return CNMC_CLASS_NAMES.index(self.class_name)


def parse_cell_name(file_name: str) -> CellName | None:
    """Parse a file name, with or without its extension; None if it is not of this form."""
    match = _UID.fullmatch(posixpath.splitext(posixpath.basename(file_name))[0])
    if match is None:
        return None
    return CellName(match["subject"].upper(), match["image"], match["cell"], match["class_name"].lower())


def fold_of(path: str) -> int | None:
    """Fold named by the folders of a path (`fold_0/…`, also doubled: `fold_0/fold_0/…`); None if there is none."""
    return _fold_of_folder(posixpath.dirname(path))


@_once_a_folder
def _fold_of_folder(folder: str) -> int | None:
    folds = [int(match[1]) for part in folder.split("/") if (match := _FOLD.fullmatch(part))]
    return folds[-1] if folds else None


def class_folder_of(path: str) -> str | None:
    """Class named by the folder an image lies in (`…/all/x.bmp`); None if the folder is not named for a class."""
    folder = posixpath.basename(posixpath.dirname(path)).lower()
    return folder if folder in CNMC_CLASS_NAMES else None


def is_preliminary_test(path: str) -> bool:
    """Whether the path lies in the folder of the preliminary test set (its labels stand in a CSV)."""
    return "test_prelim" in posixpath.dirname(path).lower()


def is_final_test(path: str) -> bool:
    """Whether the path lies in the folder of the final test set (it has no labels)."""
    return "test_final" in posixpath.dirname(path).lower()


def labels_in(source: str, tables: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Read the labels CSVs of the preliminary test: new file name (lower case) → (original name, label text)."""
    labels = {}
    for path in tables:
        if not path.lower().endswith(".csv"):
            continue
        text = storage.read_bytes(storage.join(source, path)).decode("utf-8-sig", "replace")
        reader = csv.DictReader(io.StringIO(text))
        if not set(LABEL_COLUMNS) <= set(reader.fieldnames or ()):
            continue
        for line in reader:
            original, new, label = (line[column].strip() for column in LABEL_COLUMNS)
            labels[new.lower()] = (original, label)
    return labels


def subject_in_path(path: str, pattern: re.Pattern[str] | None) -> str:
    """Return the subject that a pattern finds in a path: its group named subject, else its first, else all of it.

    Empty where it finds none.
    """
    match = pattern.search(path) if pattern else None
    if pattern is None or match is None:
        return ""
    return str(match["subject" if "subject" in pattern.groupindex else min(pattern.groups, 1)] or "")
