"""A table (CSV or Parquet) that names images by `path` and `label`, and optionally `subject` and `split`."""

import os
import posixpath
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xxhash

from etl.options import LARGEST_SQUARE, EtlOptions
from etl.source.identity import folded, settle_subjects
from etl.source.layouts import Layout
from etl.source.layouts.classes import Classes, settle_classes
from etl.source.layouts.columns import Columns, find_columns, form_of
from etl.source.layouts.folders import UNKNOWN_SUBJECTS
from etl.source.layouts.words import split_named
from etl.source.rows import FILE_NOT_FOUND, REJECTED, UNLABELLED, ImageRow
from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.images.tables import columns_of, lines_of, resolve
from hvdcells.storage import retries

_AT_ONCE = 64
_ROWS_AT_ONCE = 50_000


def is_table(location: str, options: EtlOptions) -> bool:
    """Whether a file is surely a table of images: its columns are called `path` and `label`, or as options say."""
    try:
        columns = find_columns(location, options, exact=True)
    except UserError:
        return {"path", "label"} <= columns_of(location, form_of(options))
    return columns.path is not None and columns.label is not None


def layout(table: str, base: str, options: EtlOptions) -> Layout:
    """Describe a source that is a table; relative paths are below `base`.

    Raises:
        UserError: it lacks a column or has one twice, or its labels are fewer than two classes.
    """
    columns = find_columns(table, options, exact=is_table(table, options))
    missing = [role for role in ("path", "label") if getattr(columns, role) is None]
    if missing:
        found = ", ".join(sorted(columns_of(table, form_of(options))))
        raise UserError(
            f"the table {table} has no column {' and no column '.join(missing)} (it has {found})",
            "the columns path and label, and optionally subject and split",
            f"name them: {' '.join(f'--{role}-column COLUMN' for role in missing)}",
        )

    def lines() -> Iterator[Line]:
        return _lines(lines_of(table, form_of(options)), columns)

    found_labels: Counter[str] = Counter()
    found_subjects: Counter[str] = Counter()
    said: list[npt.NDArray[np.uint64]] = [np.empty((0, 2), np.uint64)]
    all_lines = lines()
    while batch := list(islice(all_lines, _ROWS_AT_ONCE)):
        found_labels.update(line.label for line in batch)
        found_subjects.update(line.subject for line in batch)
        digests = (digest for line in batch for digest in (_digest(line.path), _digest(folded(line.label))))
        said.append(np.fromiter(digests, np.uint64).reshape(-1, 2))
    contradictory = _said_differently(np.concatenate(said))
    del found_labels[""], found_subjects[""]
    classes = settle_classes(found_labels, options, f"the table {table}")
    subjects_known = columns.subject is not None
    standing, notes = settle_subjects(found_subjects, options.subjects == "exact")
    if not subjects_known:
        notes = (UNKNOWN_SUBJECTS.replace("the folders name", "the table names").split(" If ")[0],)
    used = [f"{role} = {name}" for role, name in vars(columns).items() if isinstance(name, str) and name != role]
    if used or columns.unused:
        unused = f"; not used: {', '.join(columns.unused)}" if columns.unused else ""
        notes += (f"columns of the table: {', '.join(used) or 'as they are called'}{unused}",)
    return Layout(
        name="table",
        base=base,
        class_names=classes.names,
        positive_classes=classes.positive,
        rows=lambda: _rows(lines(), base, classes, columns, standing, contradictory),
        has_official_split=columns.split is not None,
        subjects_known=subjects_known,
        default_crop=LARGEST_SQUARE,
        notes=classes.notes + notes,
    )


class Line(NamedTuple):
    """What a line of a table says."""

    path: str
    label: str
    subject: str
    split: str


def _lines(lines: Iterable[Mapping[str, str]], columns: Columns) -> Iterator[Line]:
    roles = (columns.path, columns.label, columns.subject, columns.split)
    for line in lines:
        path, *others = (line[name] if name is not None else "" for name in roles)
        # "./a/x.png" and "a//x.png" are a/x.png; an address keeps its slashes.
        yield Line(posixpath.normpath(path) if path and "://" not in path else path, *others)


def _digest(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


def _said_differently(said: npt.NDArray[np.uint64]) -> frozenset[int]:
    """Return the digests of paths that stand there with several labels, of pairs of digests of path and label."""
    paths, num_labels = np.unique(np.unique(said, axis=0)[:, 0], return_counts=True)
    return frozenset(paths[num_labels > 1].tolist())


def _rows(
    lines: Iterable[Line],
    base: str,
    classes: Classes,
    columns: Columns,
    standing: Mapping[str, str],
    contradictory: Collection[int],
) -> Iterator[ImageRow]:
    # 64 bits a path: enough to see that one is named twice without holding all of them.
    seen: set[int] = set()
    number = 0
    for line, path, size, fingerprint in _with_status(lines, base):
        number += 1
        digest = _digest(path)
        if digest in seen or not path:
            # Its own name keeps rows apart: a source is unique in a listing.
            reason = "named twice in the table" if path else "no path in the table"
            yield ImageRow(f"{path} (line {number})", 0, "", status=REJECTED, reason=reason)
            continue
        seen.add(digest)
        if _digest(line.path) in contradictory:
            reason = "named twice in the table, with different labels"
            yield ImageRow(path, max(0, size), fingerprint, status=REJECTED, reason=reason)
            continue
        yield _row(line, path, size, fingerprint, classes, columns, standing)


def _row(
    line: Line,
    path: str,
    size: int,
    fingerprint: str,
    classes: Classes,
    columns: Columns,
    standing: Mapping[str, str],
) -> ImageRow:
    if size < 0:
        return ImageRow(path, 0, "", status=REJECTED, reason=FILE_NOT_FOUND)
    if not line.label:
        return ImageRow(path, size, fingerprint, status=UNLABELLED, reason="no label in the table")
    if columns.subject is not None and not line.subject:
        return ImageRow(path, size, fingerprint, status=REJECTED, reason="no subject in the table")
    split = split_named(line.split) if columns.split is not None else "train"
    if split is None:
        reason = f"unknown split {line.split!r} in the table"
        return ImageRow(path, size, fingerprint, status=REJECTED, reason=reason)
    row = ImageRow(
        path,
        size,
        fingerprint,
        subject=standing.get(line.subject, line.subject),
        image_id=str(PurePosixPath(path).with_suffix("")),
        official_split=split,
    )
    return classes.labelled(row, line.label)


def _with_status(lines: Iterable[Line], base: str) -> Iterator[tuple[Line, str, int, str]]:
    """Yield each line with path, size and fingerprint of its file; a size of −1 if there is none."""
    lines = iter(lines)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while batch := list(islice(lines, 16 * _AT_ONCE)):
            yield from (
                (line, *told)
                for line, told in zip(batch, pool.map(lambda each: _look(each.path, base), batch), strict=True)
            )


def _look(path: str, base: str) -> tuple[str, int, str]:
    """Return path, size and fingerprint of the file; a path as Windows writes it is tried with slashes."""
    size, fingerprint = _status(path, base)
    if size < 0 and "\\" in path:
        turned = posixpath.normpath(path.replace("\\", "/"))
        size, fingerprint = _status(turned, base)
        path = turned if size >= 0 else path
    return path, size, fingerprint


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
    except (OSError, ValueError):
        # A name that no file can have: too long, or with a NUL in it.
        if local is None:
            raise
        return -1, ""
