"""Tables that name images: CSV or Parquet, on disk or at an address."""

import csv
import io
from collections.abc import Iterator

from hvdcells import storage
from hvdcells.storage import parquet

_HEADER_BYTES = 65536


def columns_of(location: str) -> set[str]:
    """Return the column names of a table, lower case; none if it cannot be read as one."""
    try:
        if location.lower().endswith(".parquet"):
            return {name.lower() for name in parquet.read_schema(location).names}
        with storage.open_file(location) as text:
            head = text.read(_HEADER_BYTES).decode("utf-8-sig", "replace")
        return {name.strip().lower() for name in next(csv.reader(io.StringIO(head)), [])}
    except (OSError, ValueError):
        return set()


def lines_of(table: str) -> Iterator[dict[str, str]]:
    """Yield the lines of a table as text, with lower-case column names; missing values are empty."""
    if table.lower().endswith(".parquet"):
        with parquet.open_copy(table) as file:
            for batch in file.iter_batches():
                for line in batch.to_pylist():
                    yield {key.lower(): "" if value is None else str(value).strip() for key, value in line.items()}
    else:
        with storage.local_copy(table) as path, open(path, encoding="utf-8-sig", newline="") as text:  # noqa: PTH123
            reader = csv.DictReader(text)
            for line in reader:
                yield {str(key).strip().lower(): (value or "").strip() for key, value in line.items() if key}


def resolve(path: str, base: str) -> str:
    """Return the location of an image: its own if it is absolute or an address, else below `base`."""
    return storage.absolute(path) if "://" in path or path.startswith("/") else storage.join(base, path)
