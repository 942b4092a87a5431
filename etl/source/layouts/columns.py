"""Which columns of a table name images, classes, subjects and splits."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from etl.options import EtlOptions
from hvdcells.errors import UserError
from hvdcells.images.tables import TableForm, header_of

_SPELLINGS = {
    "path": (
        *("path", "filepath", "file_path", "filename", "file_name", "file", "image_path", "image_name", "image_file"),
        *("image", "image_id", "img", "img_name", "name", "id"),
    ),
    "label": ("label", "labels", "class", "class_name", "classname", "target", "category", "diagnosis", "dx"),
    "subject": (
        *("subject", "subject_id", "patient", "patient_id", "patientid", "patient_name", "person", "person_id"),
        *("case", "case_id", "donor", "donor_id", "participant", "participant_id"),
    ),
    "split": ("split", "set", "subset", "partition", "fold_name"),
}
"""Names of columns by what they hold, the plainest first."""


@dataclass(frozen=True)
class Columns:
    """Names of a table's columns, lower case; None where it has none."""

    path: str | None
    label: str | None
    subject: str | None
    split: str | None
    unused: tuple[str, ...] = ()


def form_of(options: EtlOptions) -> TableForm:
    """Return how the text of tables is to be taken."""
    return TableForm(options.delimiter, options.table_encoding)


def find_columns(table: str, options: EtlOptions, exact: bool = False) -> Columns:
    """Find the columns of a table by their names, or as options say.

    Args:
        table: its location.
        options: `path_column`, `label_column`, `subject_column`, `delimiter` and `table_encoding`.
        exact: take only the plainest names, `path`, `label`, `subject` and `split`.

    Raises:
        UserError: a column stands there twice, or one that is asked for does not.
    """
    header = header_of(table, form_of(options))
    if doubled := [name for name, num in Counter(header).items() if name and num > 1]:
        raise UserError(
            f"the table {table} has the column{'s' if doubled[1:] else ''} {', '.join(doubled)} twice (names are "
            "compared without case)",
            "each column once",
            "rename or remove one of them: which of the two is meant cannot be told",
        )
    asked = {"path": options.path_column, "label": options.label_column, "subject": options.subject_column}
    found = {role: _find(role, asked.get(role), header, table, exact) for role in _SPELLINGS}
    unused = tuple(name for name in header if name and name not in found.values())
    return Columns(**found, unused=unused)


def _find(role: str, asked: str | None, header: Sequence[str], table: str, exact: bool) -> str | None:
    if asked is not None:
        if asked.strip().lower() in header:
            return asked.strip().lower()
        raise UserError(
            f"--{role}-column {asked}, which the table {table} does not have",
            f"one of its columns {', '.join(filter(None, header)) or '(none can be read)'}",
            "correct it",
        )
    plain = {re.sub(r"[\W_]+", "_", name).strip("_"): name for name in reversed(header)}
    names = _SPELLINGS[role][:1] if exact else _SPELLINGS[role]
    return next((plain[name] for name in names if name in plain), None)
