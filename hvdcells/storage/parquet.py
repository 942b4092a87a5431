"""Parquet, read and written at any location. pyarrow's Parquet is reached through here alone.

So the hotfix of CVE-2023-47248 is always loaded before any file is opened. Not imported by `hvdcells.storage` itself:
pyarrow takes its time.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow_hotfix  # noqa: F401
from pyarrow.parquet import ParquetFile, ParquetWriter

from hvdcells.storage.files import local_copy, new_file, open_file, open_regular
from hvdcells.storage.locations import Location
from hvdcells.storage.parquet_pages import CheckedFile, DamagedPagesError

if TYPE_CHECKING:
    import pandas as pd

MOST_UNFOLDED = 200
"""How much larger a small file may become when it is unfolded. Predictions of 100,000 images become twice as large."""
MOST_ROWS_PER_BYTE = 20
SMALL = 2**20
"""Rows, and bytes, that any file may have."""

__all__ = [
    "DamagedPagesError",
    "ParquetFile",
    "ParquetWriter",
    "as_rows",
    "open_checked",
    "open_copy",
    "open_parts",
    "read_rows",
    "read_schema",
    "read_table",
    "write_rows",
    "write_schema",
    "write_table",
]


def open_checked(file: BinaryIO, **options: Any) -> ParquetFile:
    """Open a Parquet file whose pages are looked at before they are unfolded; closing it closes the file.

    Raises:
        DamagedPagesError: the footer contradicts itself.
    """
    checked = CheckedFile(file)
    opened = ParquetFile(cast(BinaryIO, checked), **options)
    checked.check_against(opened.metadata)
    return opened


@contextmanager
def _checked(file: BinaryIO, **options: Any) -> Iterator[ParquetFile]:
    with file:
        opened = open_checked(file, **options)
        try:
            yield opened
        finally:
            opened.close(force=True)


@contextmanager
def open_copy(location: Location) -> Iterator[ParquetFile]:
    """Open a file, or a local copy where it is not on this disk: for who reads all of it.

    Raises:
        FileNotFoundError: nothing is there.
    """
    # ParquetFile, not read_table: a folder named split=… is no column of what we read.
    with local_copy(location) as path, _checked(open_regular(path)) as opened:
        yield opened


@contextmanager
def open_parts(location: Location) -> Iterator[ParquetFile]:
    """Open a file of which some columns or row groups are read: nothing else is fetched.

    Raises:
        FileNotFoundError: nothing is there.
    """
    with open_file(location) as file, _checked(file) as opened:
        yield opened


def read_table(location: Location, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one small file whole.

    Raises:
        FileNotFoundError: nothing is there.
        DamagedPagesError: it unfolds to more than such a file holds.
    """
    with open_copy(location) as opened:
        _check_small(opened.metadata, location)
        return opened.read(columns=None if columns is None else list(columns))


def _check_small(metadata: pq.FileMetaData, location: Location) -> None:
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    stored = sum(column.total_compressed_size for column in columns)
    unfolded = sum(column.total_uncompressed_size for column in columns)
    if metadata.num_rows > MOST_ROWS_PER_BYTE * stored + SMALL or unfolded > MOST_UNFOLDED * stored + SMALL:
        raise DamagedPagesError(
            f"{location}: {metadata.num_rows:,} rows and {unfolded:,} bytes in columns of {stored:,} bytes"
        )


def write_table(location: Location, table: pa.Table) -> None:
    """Write a table as one file."""
    with new_file(location) as file:
        pq.write_table(table, file, compression="zstd")


def write_rows(location: Location, rows: "pd.DataFrame") -> None:
    """Write a pandas table as one file, without its index."""
    write_table(location, pa.Table.from_pandas(rows, preserve_index=False))


def read_rows(location: Location) -> "pd.DataFrame":
    """Read a file whole as a pandas table.

    Raises:
        FileNotFoundError: nothing is there.
        DamagedPagesError: it unfolds to more than such a file holds.
    """
    with local_copy(location) as path:
        with _checked(open_regular(path)) as opened:
            _check_small(opened.metadata, location)
            texts = [field.name for field in opened.schema_arrow if pa.types.is_string(field.type)]
        with _checked(open_regular(path), read_dictionary=texts) as opened:
            return as_rows(opened.read())


def as_rows(table: pa.Table) -> "pd.DataFrame":
    """Return a table as pandas has it; a text that was read as part of a dictionary is there once."""
    rows: pd.DataFrame = table.to_pandas()
    texts = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
    return rows.astype(dict.fromkeys(texts, "object"))


def read_schema(location: Location) -> pa.Schema:
    """Read the schema of a file, with its metadata."""
    with open_parts(location) as opened:
        return opened.schema_arrow


def write_schema(location: Location, schema: pa.Schema) -> None:
    """Write a file that holds a schema and its metadata, and no rows."""
    with new_file(location) as file:
        pq.write_metadata(schema, file)
