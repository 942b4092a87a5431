"""Tables that lie beside class folders: the subjects they name are used where they fit, and else it is said."""

import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from etl.options import EtlOptions
from etl.source.files import Inventory
from etl.source.identity import folded
from etl.source.layouts.columns import Columns, find_columns, form_of
from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.images.tables import lines_of

Key = Callable[[str], str]


@dataclass(frozen=True)
class SideTables:
    """What the tables beside class folders bring."""

    subject_of: Mapping[str, str] | None
    """Subject by `key` of an image's path; None where no table names them."""
    key: Key
    used: tuple[str, ...]
    notes: tuple[str, ...]


def read_side_tables(
    source: str, inventory: Inventory, options: EtlOptions, class_of: Callable[[str], str | None]
) -> SideTables:
    """Look for subjects in the tables of a source of class folders.

    Args:
        source: its location.
        inventory: what lies in it.
        options: names of columns, and `subject_pattern`, which goes before a table.
        class_of: the folder's class of an image by its path; None where it has none.

    Raises:
        UserError: a table contradicts the folders, or a column that is asked for is in no table.
    """
    notes: list[str] = []
    for path in inventory.tables:
        table = storage.join(source, path)
        columns = find_columns(table, options)
        if columns.path is None or columns.subject is None or options.subject_pattern is not None:
            if columns.path is not None:
                notes.append(_unused(path, columns))
            continue
        found = _fit(table, path, inventory, columns, options, class_of)
        if isinstance(found, str):
            notes.append(f"the table {path} could name subjects and is not used: {found}")
            continue
        subject_of, key = found
        notes.append(f"subjects are those of the column {columns.subject} of {path}")
        return SideTables(subject_of, key, (path,), tuple(notes))
    if options.subject_column is not None:
        raise UserError(
            f"--subject-column {options.subject_column}, but no table in {source} names the subject of every image",
            "a table with a column of file names, each of one image, and one of subjects",
            "mend the table, or leave the option out" + (f" ({notes[-1]})" if notes else ""),
        )
    return SideTables(None, str, (), tuple(notes))


def _fit(
    table: str,
    path: str,
    inventory: Inventory,
    columns: Columns,
    options: EtlOptions,
    class_of: Callable[[str], str | None],
) -> tuple[dict[str, str], Key] | str:
    """Return the subject of every image and the key to it by, or why the table does not fit."""
    told: dict[str, tuple[str, str]] = {}
    for line in lines_of(table, form_of(options)):
        name = posixpath.normpath(line[columns.path or ""].replace("\\", "/"))
        said = line[columns.subject or ""], line[columns.label] if columns.label else ""
        if told.setdefault(name, said) != said:
            return f"it names {name} twice, with different subjects or labels"
    folder = posixpath.dirname(path)
    ways: tuple[Key, ...] = (
        lambda image: posixpath.relpath(image, folder or "."),
        str,
        posixpath.basename,
        lambda image: posixpath.splitext(posixpath.basename(image))[0],
    )
    best = 0
    for key in ways:
        keys = Counter(key(image.path) for image in inventory.images())
        num_named = sum(num for name, num in keys.items() if name in told)
        best = max(best, num_named)
        if num_named == inventory.num_images and max(keys.values(), default=0) == 1:
            _refuse_contradictions(path, inventory, key, told, class_of)
            lacking = [name for name in keys if not told[name][0]]
            if lacking:
                return f"it gives {len(lacking)} images no subject"
            return {name: told[name][0] for name in keys}, key
    return f"it names {best} of the {inventory.num_images} images, each of which has to be named once"


def _refuse_contradictions(
    path: str,
    inventory: Inventory,
    key: Key,
    told: Mapping[str, tuple[str, str]],
    class_of: Callable[[str], str | None],
) -> None:
    """Refuse a table whose labels, where they are the folders' own names, say otherwise than the folders."""
    pairs = [(image.path, told[key(image.path)][1], class_of(image.path)) for image in inventory.images()]
    labelled = [(image, label, own) for image, label, own in pairs if label and own is not None]
    own_names = {folded(own) for _, _, own in labelled}
    if not {folded(label) for _, label, _ in labelled} <= own_names:
        return  # numbers, or words of its own
    wrong = [(image, label, own) for image, label, own in labelled if folded(label) != folded(own)]
    if wrong:
        image, label, own = wrong[0]
        raise UserError(
            f"the table {path} gives {len(wrong)} images another class than their folders do: {image} is {label} in it "
            f"and lies in {own}",
            "one class for an image",
            "mend the table, move it out of the source to go by the folders, or name it as the source to go by it",
        )


def _unused(path: str, columns: Columns) -> str:
    what = [name for name in (columns.label, columns.subject, *columns.unused) if name]
    return (
        f"the table {path} is not used (columns {', '.join(_few(what)) or 'none besides the names'}): classes are the "
        "folders'. To go by it instead, name it as the source; its subjects are taken by --subject-column"
    )


def _few(names: Sequence[str]) -> Iterable[str]:
    return (*names[:6], "…") if len(names) > 6 else names
