"""One folder per class, at any depth, with or without folders for splits above or below; any image format."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from etl.options import LARGEST_SQUARE, EtlOptions
from etl.source.files import Inventory
from etl.source.layouts import Layout
from etl.source.layouts.words import order_classes, split_named
from etl.source.rows import REJECTED, ImageRow
from hvdcells.errors import UserError

UNKNOWN_SUBJECTS = (
    "the folders name no subjects, so every image counts as its own: that images of one subject are on two sides of "
    "a split cannot be ruled out. If paths name them, give --subject-pattern"
)


def layout(source: str, inventory: Inventory, options: EtlOptions) -> Layout:
    """Describe a source of class folders.

    Raises:
        UserError: no level of its folders has exactly two names.
    """
    level = class_level(inventory.folders)
    found = {_parts(folder)[level] for folder in inventory.folders if len(_parts(folder)) > level}
    class_names = order_classes(found, options.cancer_class, f"the source {source}")
    pattern = re.compile(options.subject_pattern) if options.subject_pattern else None
    split_words = {part for folder in inventory.folders for part in _parts(folder) if split_named(part)}
    return Layout(
        name="folders",
        base=source,
        class_names=class_names,
        rows=lambda: _rows(inventory, level, {name: label for label, name in enumerate(class_names)}, pattern),
        has_official_split=bool(split_words),
        subjects_known=pattern is not None,
        default_crop=LARGEST_SQUARE,
        notes=() if pattern else (UNKNOWN_SUBJECTS,),
    )


def class_level(folders: Counter[str]) -> int:
    """Return the level of folders that is named for classes: the first with several names that are not splits."""
    names: dict[int, set[str]] = defaultdict(set)
    for folder in folders:
        for level, name in enumerate(_parts(folder)):
            names[level].add(name)
    for level in sorted(names):
        if len(names[level]) > 1 and not all(map(split_named, names[level])):
            return level
    # One class only: the deepest level that is not a split's.
    return max((level for level in names if not all(map(split_named, names[level]))), default=0)


def _parts(folder: str) -> tuple[str, ...]:
    return PurePosixPath(folder).parts


def _rows(
    inventory: Inventory, level: int, labels: Mapping[str, int], pattern: re.Pattern[str] | None
) -> Iterator[ImageRow]:
    for file in inventory.images():
        parts = PurePosixPath(file.path).parts
        known = (file.path, file.size_bytes, file.fingerprint)
        if len(parts) <= level + 1:
            yield ImageRow(*known, status=REJECTED, reason="lies in no class folder")
            continue
        match = pattern.search(file.path) if pattern else None
        if pattern and not match:
            yield ImageRow(*known, status=REJECTED, reason="--subject-pattern finds no subject in its path")
            continue
        splits = [split for part in parts[:-1] if (split := split_named(part))]
        yield ImageRow(
            *known,
            label=labels[parts[level]],
            class_name=parts[level],
            subject=match[match.lastindex or 0] if match else "",
            image_id=str(PurePosixPath(file.path).with_suffix("")),
            official_split=splits[0] if splits else "train",
        )


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
