"""Parquet pages looked at before they are unfolded: a file of 11 kB can hold pages of 2 GB.

The footer of a Parquet file says how large each column is when it is unfolded, and each page says so again; what is
allocated is what the page says. So pages are held against the footer, which the readers hold against what they
expect. The bytes looked at are those that Arrow then parses: it reads through `CheckedFile`, without further requests.

Format: github.com/apache/parquet-format, `parquet.thrift`; its encoding is Thrift's compact protocol.
"""

import io
from typing import Any, BinaryIO, NamedTuple

ENCODINGS = frozenset((0, 2, 3, 4, 8))
"""PLAIN, PLAIN_DICTIONARY, RLE, BIT_PACKED, RLE_DICTIONARY. Those of deltas unfold to the square of their size."""
DATA_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2 = 0, 2, 3
HEADER_SLACK_BYTES = 4096
"""What the headers of pages, which the footer counts among the unfolded bytes, may differ by."""
MOST_DEPTH = 8


class DamagedPagesError(ValueError):
    """The pages of a column are not what the footer says."""


class _Column(NamedTuple):
    start: int
    compressed_bytes: int
    unfolded_bytes: int
    num_values: int
    has_dictionary: bool


class CheckedFile(io.RawIOBase):
    """A Parquet file of which Arrow reads the footer first and whole columns of row groups after that.

    Args:
        file: open, its position anywhere; it is closed with this.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._columns: dict[int, _Column] | None = None

    def check_against(self, metadata: Any) -> None:
        """From now on hand out only columns whose pages are what this footer, pyarrow's `FileMetaData`, says.

        Raises:
            DamagedPagesError: the footer contradicts itself.
        """
        self._columns = {}
        for group in range(metadata.num_row_groups):
            row_group = metadata.row_group(group)
            for number in range(row_group.num_columns):
                column = row_group.column(number)
                flat = metadata.schema.column(number).max_repetition_level == 0
                if flat and column.num_values != row_group.num_rows:
                    raise DamagedPagesError(f"{column.num_values} values in a row group of {row_group.num_rows} rows")
                start, dictionary = column.data_page_offset, column.dictionary_page_offset
                if column.has_dictionary_page and dictionary is not None and 0 < dictionary < start:
                    start = dictionary
                self._columns[start] = _Column(
                    start,
                    column.total_compressed_size,
                    column.total_uncompressed_size,
                    column.num_values,
                    any("DICTIONARY" in encoding for encoding in column.encodings),
                )

    def readable(self) -> bool:
        """Whether it can be read: yes."""
        return True

    def seekable(self) -> bool:
        """Whether its position can be set: yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position; return it."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def read(self, size: int | None = -1) -> bytes:
        """Read so many bytes.

        Raises:
            DamagedPagesError: they are no column of the footer, or hold other pages than it says.
        """
        start = self._file.tell()
        content = self._file.read(-1 if size is None else size)
        if self._columns is not None and content:
            column = self._columns.get(start)
            if column is None or len(content) < column.compressed_bytes:
                raise DamagedPagesError(f"{len(content)} bytes at {start} are no column of the file")
            check_pages(content, column.num_values, column.unfolded_bytes, has_dictionary=column.has_dictionary)
        return content

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def check_pages(chunk: bytes, num_values: int, unfolded_bytes: int, has_dictionary: bool = True) -> None:
    """Look at the headers of a column's pages, as Arrow does until it has all values.

    Args:
        chunk: the column of a row group.
        num_values: that its pages hold.
        unfolded_bytes: that they take together.
        has_dictionary: a page may hold values that others repeat.

    Raises:
        DamagedPagesError: the pages are not that, or encoded in another way than we write.
    """
    at = seen = unfolded = 0
    while seen < num_values:
        header, begins = _struct(chunk, at, 0)
        kind, page_bytes, stored_bytes = (header.get(field, -1) for field in (1, 2, 3))
        at = begins + stored_bytes if _is_count(stored_bytes) else -1
        if not _is_count(page_bytes) or not 0 <= at <= len(chunk):
            raise DamagedPagesError("a page without a size, or one that ends outside its column")
        unfolded += page_bytes
        if unfolded > unfolded_bytes + HEADER_SLACK_BYTES:
            raise DamagedPagesError(f"pages of {unfolded:,} bytes and more where the footer says {unfolded_bytes:,}")
        inner = header.get({DATA_PAGE: 5, DICTIONARY_PAGE: 7, DATA_PAGE_V2: 8}.get(kind, -1))
        if not isinstance(inner, dict) or not _is_count(inner.get(1)):
            raise DamagedPagesError(f"a page of the kind {kind}, or without a number of values")
        encoding = inner.get(4 if kind == DATA_PAGE_V2 else 2)
        repeats = kind == DICTIONARY_PAGE or encoding in (2, 8)
        if encoding not in ENCODINGS or (repeats and not has_dictionary):
            raise DamagedPagesError("a page that is encoded in another way than is read here")
        if kind != DICTIONARY_PAGE:
            seen += inner[1]
        elif inner[1] > page_bytes:
            raise DamagedPagesError(f"a dictionary of {inner[1]:,} values in {page_bytes:,} bytes")
    if seen != num_values:
        raise DamagedPagesError(f"pages of {seen:,} values where the footer says {num_values:,}")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _struct(data: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """Return the fields of a Thrift struct by their numbers, and where it ends."""
    if depth > MOST_DEPTH:
        raise DamagedPagesError("a page's header goes too deep")
    fields: dict[int, Any] = {}
    number = 0
    while True:
        kind = _byte(data, at)
        at += 1
        if kind == 0:
            return fields, at
        if kind >> 4:
            number += kind >> 4
        else:
            number, at = _zigzag(data, at)
        fields[number], at = _value(data, at, kind & 15, depth)


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    match kind:
        case 1 | 2:  # a boolean is its kind
            return kind == 1, at
        case 3:
            return _byte(data, at), at + 1
        case 4 | 5 | 6:
            return _zigzag(data, at)
        case 7:
            return None, at + 8
        case 8:  # texts and bytes: the smallest and largest values of a page
            length, at = _varint(data, at)
            return None, at + length
        case 12:
            return _struct(data, at, depth + 1)
    raise DamagedPagesError("a page's header holds what no Parquet file has there")


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = _byte(data, at)
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise DamagedPagesError("a page's header holds a number without end")


def _byte(data: bytes, at: int) -> int:
    if not 0 <= at < len(data):
        raise DamagedPagesError("a page's header ends outside its column")
    return data[at]
