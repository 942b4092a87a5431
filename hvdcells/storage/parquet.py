"""Parquet, read and written at any location. pyarrow's Parquet is reached through here alone.

So the hotfix of CVE-2023-47248 is always loaded before any file is opened. Not imported by `hvdcells.storage` itself:
pyarrow takes its time.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow_hotfix  # noqa: F401
from pyarrow.parquet import ParquetFile, ParquetWriter

from hvdcells.storage.files import local_copy, new_file, open_file
from hvdcells.storage.locations import Location

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ParquetFile",
    "ParquetWriter",
    "open_copy",
    "open_parts",
    "read_rows",
    "read_schema",
    "read_table",
    "write_rows",
    "write_schema",
    "write_table",
]


@contextmanager
def open_copy(location: Location) -> Iterator[ParquetFile]:
    """Open a file, or a local copy where it is not on this disk: for who reads all of it.

    Raises:
        FileNotFoundError: nothing is there.
    """
    # ParquetFile, not read_table: a folder named split=… is no column of what we read.
    with local_copy(location) as path, ParquetFile(path) as opened:
        yield opened


@contextmanager
def open_parts(location: Location) -> Iterator[ParquetFile]:
    """Open a file of which some columns or row groups are read: nothing else is fetched.

    Raises:
        FileNotFoundError: nothing is there.
    """
    with open_file(location) as file, ParquetFile(file) as opened:
        yield opened


def read_table(location: Location, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one small file whole."""
    with open_copy(location) as opened:
        return opened.read(columns=None if columns is None else list(columns))


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
    """
    rows: pd.DataFrame = read_table(location).to_pandas()
    return rows


def read_schema(location: Location) -> pa.Schema:
    """Read the schema of a file, with its metadata."""
    with open_parts(location) as opened:
        return opened.schema_arrow


def write_schema(location: Location, schema: pa.Schema) -> None:
    """Write a file that holds a schema and its metadata, and no rows."""
    with new_file(location) as file:
        pq.write_metadata(schema, file)
