"""Tables that name images: CSV in any of its usual forms (`,`, `;` or tab; gzip; UTF-8, UTF-16, Windows) or Parquet."""

import csv
import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, NamedTuple

from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.images.files import TABLE_SUFFIXES
from hvdcells.storage import parquet

_HEAD_BYTES = 65536
_DELIMITERS = (",", ";", "\t", "|")
_LONGEST_FIELD = 2**24
"""Characters of a field; Python's own limit of 131,072 would end the run for one long note."""


class TableForm(NamedTuple):
    """How the text of a table is to be taken; empty: found out."""

    delimiter: str = ""
    encoding: str = ""


FOUND_OUT = TableForm()


def columns_of(location: str, form: TableForm = FOUND_OUT) -> set[str]:
    """Return the column names of a table, lower case; none if it cannot be read as one."""
    return {name for name in header_of(location, form) if name}


def header_of(location: str, form: TableForm = FOUND_OUT) -> list[str]:
    """Return the column names of a table in their order, lower case; none if it cannot be read as one."""
    try:
        location = parts_of(location)[0]
        if _is_parquet(location):
            return [name.lower() for name in parquet.read_schema(location).names]
        head = _head(location)
        settled = _settled(head, form)
        text = io.StringIO(head.decode(settled.encoding, "replace"))
        return [name.strip().lower() for name in next(csv.reader(text, delimiter=settled.delimiter), [])]
    except (OSError, ValueError, EOFError, IndexError, csv.Error):
        return []


def is_table_in_parts(location: str) -> bool:
    """Whether a folder is a table as Spark writes it: `part-…` files, and marks beside them."""
    names = [name for name in storage.names_in(location) if not name.startswith(("_", "."))]
    return bool(names) and all(_is_part(name) for name in names)


def _is_part(name: str) -> bool:
    return name.startswith("part-") and name.lower().endswith(TABLE_SUFFIXES)


def parts_of(table: str) -> list[str]:
    """Return the files of a table: itself, or those in the folder that Spark has written it to."""
    if storage.is_file(table):
        return [table]
    return [storage.join(table, name) for name in storage.names_in(table) if _is_part(name)]


def lines_of(table: str, form: TableForm = FOUND_OUT) -> Iterator[dict[str, str]]:
    """Yield the lines of a table as text, with lower-case column names; missing values are empty.

    Raises:
        UserError: the text is not in the encoding, or a quote that is not closed swallows lines.
    """
    for part in parts_of(table):
        yield from _lines_of_file(part, form)


def _lines_of_file(table: str, form: TableForm) -> Iterator[dict[str, str]]:
    if _is_parquet(table):
        with parquet.open_copy(table) as file:
            for batch in file.iter_batches():
                for line in batch.to_pylist():
                    yield {key.lower(): "" if value is None else str(value).strip() for key, value in line.items()}
        return
    settled = _settled(_head(table), form)
    csv.field_size_limit(_LONGEST_FIELD)
    with storage.local_copy(table) as path, _opened(path, table, settled) as text:
        reader = csv.reader(text, delimiter=settled.delimiter)
        names = [name.strip().lower() for name in next(reader, [])]
        try:
            for values in reader:
                if any("\n" in value for value in values):
                    _refuse_swallowed_lines(table, values, len(names), settled, reader.line_num)
                if values:
                    padded = values + [""] * (len(names) - len(values))
                    yield {name: value.strip() for name, value in zip(names, padded, strict=False) if name}
        except (UnicodeError, csv.Error) as error:
            raise UserError(
                f"the table {table} cannot be read after line {reader.line_num} ({error})",
                f"text in the encoding {settled.encoding}",
                "give its encoding, such as --encoding cp1252, or save it as UTF-8",
            ) from None


def _is_parquet(location: str) -> bool:
    return location.lower().endswith(".parquet")


def _is_zipped(location: str) -> bool:
    return location.lower().endswith(".gz")


def _head(location: str) -> bytes:
    with storage.open_file(location) as file:
        if _is_zipped(location):
            with gzip.open(file) as unzipped:
                return unzipped.read(_HEAD_BYTES)
        return bytes(file.read(_HEAD_BYTES))


@contextmanager
def _opened(path: str, table: str, form: TableForm) -> Iterator[IO[str]]:
    opener = gzip.open if _is_zipped(table) else open
    with opener(path, "rt", encoding=form.encoding, newline="") as text:
        yield text


def _settled(head: bytes, form: TableForm) -> TableForm:
    encoding = form.encoding or _encoding_of(head)
    first = head.decode(encoding, "replace").splitlines()[:1]
    widths = {mark: len(next(csv.reader(first, delimiter=mark), [])) for mark in _DELIMITERS}
    return TableForm(form.delimiter or max(_DELIMITERS, key=lambda mark: widths[mark]), encoding)


def _encoding_of(head: bytes) -> str:
    """Return the encoding that a text's first bytes tell: by its mark, else UTF-8 where it is that, else Windows'."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    try:
        head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The last character of the head may be cut.
        if error.start < len(head) - 3 or len(head) < _HEAD_BYTES:
            return "cp1252"
    return "utf-8-sig"


def _refuse_swallowed_lines(table: str, values: list[str], num_columns: int, form: TableForm, line: int) -> None:
    """Refuse a field that holds lines of the table's own form: a quote before it was not closed."""
    inside = [part for value in values for part in value.split("\n")[1:] if "\n" in value]
    if any(part.count(form.delimiter) >= num_columns - 1 > 0 for part in inside):
        raise UserError(
            f"the table {table} has a quote that is not closed: a field that ends in line {line} holds whole lines",
            "quotes in pairs; a quote within a field is doubled",
            f"mend the quote in or before line {line - len(inside)}",
        )


def resolve(path: str, base: str) -> str:
    """Return the location of an image: its own if it is absolute or an address, else below `base`."""
    return storage.absolute(path) if "://" in path or path.startswith("/") else storage.join(base, path)
