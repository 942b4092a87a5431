"""One folder per class, at any depth, with or without folders for splits above or below; any image format."""

import posixpath
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from etl.options import LARGEST_SQUARE, EtlOptions
from etl.source.files import Inventory
from etl.source.identity import settle_subjects
from etl.source.layouts import Layout
from etl.source.layouts.classes import Classes, settle_classes
from etl.source.layouts.levels import Levels, find_levels
from etl.source.layouts.side_tables import SideTables, read_side_tables
from etl.source.rows import PATTERN_FINDS_NONE, REJECTED, UNLABELLED, ImageRow
from hvdcells.errors import UserError
from hvdcells.images.cell_names import subject_in_path
from hvdcells.images.files import NOTHING_THERE, SourceFile

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
        if (own := levels.class_of(folder)) is not None:
            found[own] += num
    classes = settle_classes(found, options, where)
    tables = read_side_tables(
        source, inventory, options, lambda path: classes.class_of.get(levels.class_of(posixpath.dirname(path)) or "")
    )
    subject_of = _subject_of(options, tables)
    standing: dict[str, str] = {}
    notes: tuple[str, ...] = (UNKNOWN_SUBJECTS,)
    if subject_of is not None:
        subjects = Counter(subject for file in inventory.images() if (subject := subject_of(file.path)))
        standing, notes = settle_subjects(subjects, options.subjects == "exact")
    return Layout(
        name="folders",
        base=source,
        class_names=classes.names,
        positive_classes=classes.positive,
        rows=lambda: (_row(file, levels, classes, subject_of, standing) for file in inventory.images()),
        has_official_split=levels.of_splits is not None,
        subjects_known=subject_of is not None,
        default_crop=LARGEST_SQUARE,
        notes=(*inventory.notes, *levels.notes, *classes.notes, *tables.notes, *notes),
        left_aside=inventory.left_aside,
        other_files=inventory.everything_else("table of subjects", tables.used),
    )


def _subject_of(options: EtlOptions, tables: SideTables) -> Callable[[str], str | None] | None:
    """Return what tells the subject of a path; None where nothing does."""
    if options.subject_pattern is not None:
        pattern = re.compile(options.subject_pattern)
        return lambda path: subject_in_path(path, pattern)
    told, key = tables.subject_of, tables.key
    return None if told is None else lambda path: told.get(key(path))


def _row(
    file: SourceFile,
    levels: Levels,
    classes: Classes,
    subject_of: Callable[[str], str | None] | None,
    standing: Mapping[str, str],
) -> ImageRow:
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
    subject = subject_of(file.path) if subject_of else ""
    if not subject and subject_of is not None:
        return ImageRow(*known, status=REJECTED, reason=PATTERN_FINDS_NONE)
    if file.fingerprint == NOTHING_THERE:
        return ImageRow(*known, status=REJECTED, reason="a link that leads nowhere")
    row = ImageRow(
        *known,
        subject=standing.get(subject, subject) if subject else "",
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
            r"a regular expression with the subject as its first group (or one named so), as 'patient_(\d+)'",
            "correct it",
        ) from None
