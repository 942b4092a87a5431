"""One folder per class, at any depth, with or without folders for splits above or below; any image format."""

import re
from collections import Counter
from pathlib import PurePosixPath

from etl.options import LARGEST_SQUARE, EtlOptions
from etl.source.files import Inventory
from etl.source.layouts import Layout
from etl.source.layouts.classes import Classes, settle_classes
from etl.source.layouts.levels import Levels, find_levels
from etl.source.rows import REJECTED, UNLABELLED, ImageRow
from hvdcells.errors import UserError
from hvdcells.images.files import SourceFile

UNKNOWN_SUBJECTS = (
    "the folders name no subjects, so every image counts as its own: that images of one subject are on two sides of "
    "a split cannot be ruled out. If paths name them, give --subject-pattern"
)


def layout(source: str, inventory: Inventory, options: EtlOptions) -> Layout:
    """Describe a source of class folders.

    Raises:
        UserError: its folders name fewer than two classes, or which level of them does is in doubt.
    """
    where = f"the source {source}"
    levels = find_levels(inventory.folders, options, where)
    found: Counter[str] = Counter()
    for folder, num in inventory.folders.items():
        parts = PurePosixPath(folder).parts
        if len(parts) > levels.of_classes:
            found[parts[levels.of_classes]] += num
    classes = settle_classes(found, options, where)
    pattern = re.compile(options.subject_pattern) if options.subject_pattern else None
    return Layout(
        name="folders",
        base=source,
        class_names=classes.names,
        positive_classes=classes.positive,
        rows=lambda: (_row(file, levels, classes, pattern) for file in inventory.images()),
        has_official_split=levels.of_splits is not None,
        subjects_known=pattern is not None,
        default_crop=LARGEST_SQUARE,
        notes=levels.notes + classes.notes + (() if pattern else (UNKNOWN_SUBJECTS,)),
    )


def _row(file: SourceFile, levels: Levels, classes: Classes, pattern: re.Pattern[str] | None) -> ImageRow:
    path = PurePosixPath(file.path)
    folders = path.parts[:-1]
    known = (file.path, file.size_bytes, file.fingerprint)
    split = levels.split_of(folders)
    if split is None:
        return ImageRow(*known, status=REJECTED, reason="lies beside the folders of the splits, in none of them")
    if len(folders) <= levels.of_classes:
        if levels.of_splits is not None and split != "train":
            return ImageRow(*known, status=UNLABELLED, reason=f"lies in no class folder of the {split} split")
        return ImageRow(*known, status=REJECTED, reason="lies in no class folder")
    match = pattern.search(file.path) if pattern else None
    if pattern and not match:
        return ImageRow(*known, status=REJECTED, reason="--subject-pattern finds no subject in its path")
    row = ImageRow(
        *known,
        subject=match[match.lastindex or 0] if match else "",
        image_id=str(path.with_suffix("")),
        official_split=split,
    )
    return classes.labelled(row, folders[levels.of_classes])


def check_pattern(pattern: str | None) -> None:
    """Refuse a subject pattern that is no regular expression.

    Raises:
        UserError: it is none.
    """
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise UserError(
            f"--subject-pattern {pattern!r} ({error})",
            r"a regular expression whose first group is the subject, such as 'patient_(\d+)'",
            "correct it",
        ) from None
