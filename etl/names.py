"""File names and folders of C-NMC 2019, read without looking at any image."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from hvdcells.schema import CNMC_CLASS_NAMES

_UID = re.compile(r"UID_(?P<subject>H?\d+)_(?P<image>\d+)_(?P<cell>\d+)_(?P<class_name>all|hem)", re.IGNORECASE)
_FOLD = re.compile(r"fold_(\d+)", re.IGNORECASE)


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
    match = _UID.fullmatch(PurePosixPath(file_name).stem)
    if match is None:
        return None
    return CellName(match["subject"].upper(), match["image"], match["cell"], match["class_name"].lower())


def fold_of(path: str) -> int | None:
    """Fold named by the folders of a path (`fold_0/…`, also doubled: `fold_0/fold_0/…`); None if there is none."""
    folds = [int(match[1]) for part in PurePosixPath(path).parts[:-1] if (match := _FOLD.fullmatch(part))]
    return folds[-1] if folds else None


def class_folder_of(path: str) -> str | None:
    """Class named by the folder an image lies in (`…/all/x.bmp`); None if the folder is not named for a class."""
    folder = PurePosixPath(path).parent.name.lower()
    return folder if folder in CNMC_CLASS_NAMES else None


def is_preliminary_test(path: str) -> bool:
    """Whether the path lies in the folder of the preliminary test set (its labels stand in a CSV)."""
    return any("test_prelim" in part.lower() for part in PurePosixPath(path).parts[:-1])


def is_final_test(path: str) -> bool:
    """Whether the path lies in the folder of the final test set (it has no labels)."""
    return any("test_final" in part.lower() for part in PurePosixPath(path).parts[:-1])
