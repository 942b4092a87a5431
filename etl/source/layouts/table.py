"""A table (CSV or Parquet) that names images by `path` and `label`, and optionally `subject` and `split`."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import PurePosixPath

import xxhash

from etl.options import LARGEST_SQUARE, EtlOptions
from etl.source.layouts import Layout
from etl.source.layouts.classes import Classes, settle_classes
from etl.source.layouts.folders import UNKNOWN_SUBJECTS
from etl.source.layouts.words import split_named
from etl.source.rows import REJECTED, UNLABELLED, ImageRow
from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.images.tables import columns_of, lines_of, resolve
from hvdcells.storage import retries

NEEDED = ("path", "label")
OPTIONAL = ("subject", "split")
_AT_ONCE = 64


def is_table(location: str) -> bool:
    """Whether a file is a table of images."""
    return set(NEEDED) <= columns_of(location)


def layout(table: str, base: str, options: EtlOptions) -> Layout:
    """Describe a source that is a table; relative paths are below `base`.

    Raises:
        UserError: it lacks a column, or its labels are not two classes.
    """
    columns = columns_of(table)
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        raise UserError(
            f"the table {table} has no column {' and no column '.join(missing)} (it has {', '.join(sorted(columns))})",
            "the columns path and label, and optionally subject and split",
            "rename or add the columns",
        )
    found = Counter(line["label"] for line in lines_of(table) if line["label"])
    classes = settle_classes(found, options, f"the table {table}")
    subjects_known = "subject" in columns
    return Layout(
        name="table",
        base=base,
        class_names=classes.names,
        positive_classes=classes.positive,
        rows=lambda: _rows(lines_of(table), base, classes, columns),
        has_official_split="split" in columns,
        subjects_known=subjects_known,
        default_crop=LARGEST_SQUARE,
        notes=classes.notes
        + (
            ()
            if subjects_known
            else (UNKNOWN_SUBJECTS.replace("the folders name", "the table names").split(" If ")[0],)
        ),
    )


def _rows(lines: Iterable[dict[str, str]], base: str, classes: Classes, columns: set[str]) -> Iterator[ImageRow]:
    # 64 bits a path: enough to see that one is named twice without holding all of them.
    seen: set[int] = set()
    number = 0
    for line, (size, fingerprint) in _with_status(lines, base):
        number += 1
        digest = xxhash.xxh3_64_intdigest(line["path"].encode("utf-8", "surrogatepass"))
        if digest in seen:
            # Its own name keeps rows apart: a source is unique in a listing.
            yield ImageRow(f"{line['path']} (line {number})", 0, "", status=REJECTED, reason="named twice in the table")
            continue
        seen.add(digest)
        yield _row(line, size, fingerprint, classes, columns)


def _row(line: dict[str, str], size: int, fingerprint: str, classes: Classes, columns: set[str]) -> ImageRow:
    path, label = line["path"], line["label"]
    if size < 0:
        return ImageRow(path, 0, "", status=REJECTED, reason="file not found")
    if not label:
        return ImageRow(path, size, fingerprint, status=UNLABELLED, reason="no label in the table")
    if "subject" in columns and not line["subject"]:
        return ImageRow(path, size, fingerprint, status=REJECTED, reason="no subject in the table")
    split = split_named(line["split"]) if "split" in columns else "train"
    if split is None:
        return ImageRow(
            path, size, fingerprint, status=REJECTED, reason=f"unknown split {line['split']!r} in the table"
        )
    row = ImageRow(
        path,
        size,
        fingerprint,
        subject=line.get("subject", ""),
        image_id=str(PurePosixPath(path).with_suffix("")),
        official_split=split,
    )
    return classes.labelled(row, label)


def _with_status(lines: Iterable[dict[str, str]], base: str) -> Iterator[tuple[dict[str, str], tuple[int, str]]]:
    """Yield each line with size and fingerprint of its file; a size of −1 if there is none."""
    lines = iter(lines)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while batch := list(islice(lines, 16 * _AT_ONCE)):
            yield from zip(batch, pool.map(lambda line: _status(line["path"], base), batch), strict=True)


def _status(path: str, base: str) -> tuple[int, str]:
    location = resolve(path, base)
    try:
        local = storage.local_path(location)
        if local is not None:
            status = os.stat(local)  # noqa: PTH116
            return status.st_size, str(status.st_mtime_ns)
        fs, remote = storage.filesystem(location)
        entry = retries.call(fs.info, remote, where=location)
        return entry["size"], str(entry.get("ETag") or entry.get("mtime") or entry.get("LastModified") or "").strip('"')
    except (FileNotFoundError, NotADirectoryError):
        return -1, ""
