"""The Parquet files of a dataset that nobody vouches for: looked at before anything of them is read.

A file of 900 bytes can unfold to gigabytes, and a path can lead to a folder, a pipe or another user's file. What is
opened here is one regular file inside the dataset, whose footer says what the manifest says. Nothing is looked for
beside it, so the schema that Petastorm pickles into `_common_metadata` is never reached.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hvdcells import storage
from hvdcells.data.checksums import checksum_of_read, columns_that_differ
from hvdcells.data.columns import arrow_schema
from hvdcells.data.manifest import Manifest
from hvdcells.data.manifest import ParquetFile as NamedFile
from hvdcells.data.stored_images import largest_stored_bytes
from hvdcells.errors import UserError
from hvdcells.storage.parquet import DamagedPagesError, ParquetFile, as_rows, open_checked
from hvdcells.storage.remote_file import RemoteFile

if TYPE_CHECKING:
    import pandas as pd

COLUMN_SLACK_BYTES = 2**16
"""What the pages of a column may take beside its values."""
SCHEMA = arrow_schema()
"""Of every Parquet file of a dataset."""
MOST_TEXT_BYTES = 4096
"""Of one row in a column of texts: as long as a path can be."""
PLAIN_ENCODINGS = frozenset(("PLAIN", "RLE", "BIT_PACKED"))
"""Encodings of an `image` column: each value stands for itself. A dictionary holds a value once and repeats it."""
DAMAGED = "the dataset is damaged: run `hvdcells check DATASET`, then write it again with `hvdcells etl`"


def open_parquet(location: str, file: NamedFile, texts: Sequence[str] | None = None) -> ParquetFile:
    """Open a Parquet file of the dataset at a location; its footer is read, nothing else.

    Args:
        location: of the dataset.
        file: what the manifest says of it.
        texts: columns that are read as dictionaries: each text once, however often a few bytes repeat it.

    Raises:
        UserError: there is no such regular file inside the dataset, or it holds other columns or row groups than the
            manifest says.
    """
    where = storage.join(location, file.path)
    local = storage.local_path(location)
    with _damage_named(where, "a Parquet file, as the manifest says"):
        if local is not None:
            _check_regular_inside(local, file.path, where)
            opened = open_checked(storage.open_regular(storage.join(local, file.path)), read_dictionary=texts)
        else:
            # A row group then costs one read per column. Reading ahead, as fsspec does on object stores, would fetch
            # row groups that the plan gives to other ranks.
            opened = open_checked(cast(BinaryIO, RemoteFile(where)), read_dictionary=texts)
        columns = opened.metadata.schema.to_arrow_schema()
    if not columns.equals(SCHEMA):
        raise UserError(f"{where} holds other columns than a dataset's", ", ".join(SCHEMA.names), DAMAGED)
    found = [opened.metadata.row_group(number).num_rows for number in range(opened.num_row_groups)]
    if found != list(file.rows_per_row_group):
        raise UserError(
            f"{where} has row groups of {_some(found)} rows",
            f"row groups of {_some(list(file.rows_per_row_group))} rows, as the manifest says",
            DAMAGED,
        )
    return opened


def read_texts(
    opened: ParquetFile, columns: Sequence[str], where: str, checksums: Mapping[str, str] | None = None
) -> "pd.DataFrame":
    """Read columns other than `image` of a file that `open_parquet` has opened with these as `texts`.

    Args:
        opened: the file.
        columns: names of the columns.
        where: named in errors.
        checksums: those of the manifest, by name of the column.

    Raises:
        UserError: they unfold to more bytes than texts take, a page is damaged, a value is missing, or something else
            was written.
    """
    for number in range(opened.num_row_groups):
        check_row_group(opened, number, 0, where, columns)
    with _damage_named(where, "whole pages"):
        table = opened.read(columns=list(columns))
    if any(column.null_count for column in table.columns):
        raise UserError(f"{where} holds rows without a value", "a value in each column of each row", DAMAGED)
    columns_read = {name: table[name].to_pylist() for name in table.column_names}
    if changed := columns_that_differ(columns_read, checksums or {}):
        raise _changed(f"{where}, column {', '.join(changed)}")
    return as_rows(table)


def check_row_group(
    opened: ParquetFile, number: int, image_size: int, where: str, columns: Sequence[str] = SCHEMA.names
) -> None:
    """Refuse a row group that unfolds to more bytes than its rows can take.

    Args:
        opened: what `open_parquet` returned, or another file with the columns of a dataset.
        number: of the row group in its file.
        image_size: of the manifest.
        where: named in errors.
        columns: that are to be read.

    Raises:
        UserError: it does, or its images are not encoded plainly.
    """
    row_group = opened.metadata.row_group(number)
    for name in columns:
        column = row_group.column(SCHEMA.get_field_index(name))
        each = largest_stored_bytes(image_size) if name == "image" else MOST_TEXT_BYTES
        most_bytes = row_group.num_rows * each + COLUMN_SLACK_BYTES
        plain = name != "image" or PLAIN_ENCODINGS.issuperset(column.encodings)
        if column.total_uncompressed_size > most_bytes or not plain:
            what = "images" if name == "image" else f"values of {name}"
            raise UserError(
                f"{where} holds {what} of {column.total_uncompressed_size:,} bytes, encoded "
                f"{', '.join(column.encodings)}",
                f"at most {most_bytes:,} bytes{', encoded plainly' if name == 'image' else ''}: {row_group.num_rows} "
                + (f"images of side {image_size}" if name == "image" else "rows"),
                DAMAGED,
            )


def read_images(
    opened: ParquetFile, number: int, manifest: Manifest, where: str
) -> tuple[pa.ChunkedArray, NDArray[np.int32]]:
    """Read the columns `image` and `label` of a row group.

    Args:
        opened: what `open_parquet` returned.
        number: of the row group in its file.
        manifest: of the dataset.
        where: named in errors.

    Raises:
        UserError: the images unfold to more bytes than images of the manifest's size take, a page is damaged, or a
            label names no class.
    """
    check_row_group(opened, number, manifest.image_size, where)
    with _damage_named(where, "whole pages of images and labels"):
        table = opened.read_row_group(number, columns=["image", "label"], use_threads=False)
    column, num_classes = table.column("label").combine_chunks(), len(manifest.class_names)
    # Not `to_numpy`, which imports pandas: half a second, in the thread that has the first row group to read.
    labels = np.frombuffer(column.buffers()[1], np.int32, len(column), column.offset * np.int32().itemsize)
    if column.null_count or labels.min() < 0 or labels.max() >= num_classes:
        raise UserError(f"{where} holds labels that name no class", f"labels from 0 to {num_classes - 1}", DAMAGED)
    return table.column("image"), labels


def refuse_changed_images(images: NDArray[np.uint8], labels: NDArray[np.int32], checksum: str, where: str) -> None:
    """Hold the decoded images and the labels of a row group to their checksum; an empty one is none.

    Raises:
        UserError: they are not what was written.
    """
    if checksum and checksum_of_read(images, labels) != checksum:
        raise _changed(where)


def _changed(where: str) -> UserError:
    return UserError(f"{where}: not what was written there", "what the checksum in the manifest stands for", DAMAGED)


@contextmanager
def _damage_named(where: str, expected: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{where} is missing", expected, DAMAGED) from None
    except (pa.ArrowException, DamagedPagesError, UnicodeDecodeError, OSError) as error:
        # By an OSError pyarrow says both that the disk or the network failed, and that the content is no Parquet.
        if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
            raise
        why = str(error).partition("\n")[0]
        raise UserError(f"{where} cannot be read ({why})", expected, DAMAGED) from None


def _check_regular_inside(root: str, name: str, where: str) -> None:
    path = Path(root, name)
    if not os.path.lexists(path):
        raise FileNotFoundError(where)
    if not path.is_file() or os.path.realpath(path) != os.path.join(os.path.realpath(root), name):  # noqa: PTH118
        raise UserError(
            f"{where} is {'a link, or below one' if path.is_file() else 'no regular file'}",
            "Parquet files that lie in the dataset itself, as `hvdcells etl` writes them",
            "copy the dataset with its files in place of links, and use only one whose origin you trust",
        )


def _some(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:5])) + (f", … ({len(numbers)} row groups)" if len(numbers) > 5 else "")
