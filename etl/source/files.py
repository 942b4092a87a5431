"""What lies in a source: an inventory, whose images wait in a file on this machine's disk, never all in memory."""

import fnmatch
import posixpath
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from etl.source.companions import are_companions, companion_kind, partner_key, system_folder
from hvdcells.images.cell_names import parse_cell_name
from hvdcells.images.files import NOTHING_THERE, SourceFile


class Inventory:
    """What lies in a source: its image files, and a few facts to tell the layout by."""

    def __init__(self, files: Iterable[SourceFile], include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        """Go through the files once.

        Args:
            files: what lies in the source.
            include: patterns such as `*/20x/*`, of paths below the source; images that match none are left aside.
            exclude: patterns of images that are left aside.
        """
        self._included = _any_of(include)
        self._excluded = _any_of(exclude)
        self.left_aside: Counter[str] = Counter()
        """Images left aside on purpose, by reason."""
        self.other_files: Counter[str] = Counter()
        """What is no image, or not looked into, by what it is."""
        self._kinds: dict[str, list[str]] = defaultdict(list)
        self._companions: frozenset[str] = frozenset()
        self.notes: list[str] = []
        self.folders: Counter[str] = Counter()
        """Images directly in each folder, by its path below the source."""
        self.tables: list[str] = []
        """CSV and Parquet files."""
        self.num_images = 0
        """Images to be used; those left aside are not among them."""
        self.has_cell_names = False
        """Some image is named as in C-NMC."""
        self._spool = tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n")  # noqa: SIM115
        for file in files:
            if file.is_image:
                self._add_image(file)
            elif file.is_table:
                self.tables.append(file.path)
            else:
                self.other_files[_kind_of_other(file)] += 1

    def everything_else(self, use: str = "", used: Collection[str] = ()) -> dict[str, int]:
        """Return what is no image, by what it is.

        Args:
            use: what the tables are that are used.
            used: paths of these.
        """
        counts = self.other_files.copy()
        for path in self.tables:
            counts[use if path in used else "table that is not used"] += 1
        return dict(sorted(counts.items()))

    def leave_companions_aside(self, read: Callable[[str], bytes | str]) -> None:
        """Find masks and the like among the images by what they go with and what they show, and leave them aside.

        Args:
            read: reads the file at a path below the source, or returns why it cannot.
        """
        candidates = {path for paths in self._kinds.values() for path in paths}
        if not candidates:
            return
        partners = {partner_key(file.path) for file in self.images() if file.path not in candidates}
        companions: set[str] = set()
        for kind, paths in sorted(self._kinds.items()):
            paired = [path for path in paths if partner_key(path) in partners]
            if not paired:
                continue
            if are_companions(paired, read):
                companions.update(paired)
                self.left_aside[f"mask or label map beside an image ({kind})"] += len(paired)
            else:
                self.notes.append(
                    f"{len(paired)} images named like masks ({kind}) do not look like any and are taken for cells: "
                    f"--exclude '{kind.rstrip('/') if kind.startswith('*') else f'*{kind}*'}' leaves them aside"
                )
        for path in companions:
            folder = posixpath.dirname(path)
            self.folders[folder] -= 1
            if not self.folders[folder]:
                del self.folders[folder]
        self.num_images -= len(companions)
        self._companions = frozenset(companions)

    def _aside(self, path: str) -> str | None:
        if folder := system_folder(path):
            return f"in a folder that a system keeps for itself ({folder})"
        if self._included is not None and not self._included.fullmatch(path):
            return "not named by --include"
        if self._excluded is not None and self._excluded.fullmatch(path):
            return "named by --exclude"
        return None

    def _add_image(self, file: SourceFile) -> None:
        if reason := self._aside(file.path):
            self.left_aside[reason] += 1
            return
        if kind := companion_kind(file.path):
            self._kinds[kind].append(file.path)
        self.num_images += 1
        self.folders[posixpath.dirname(file.path)] += 1
        self.has_cell_names = self.has_cell_names or parse_cell_name(file.path) is not None
        # The path comes last and goes to the end of the line; a line break in it is escaped.
        path = file.path.encode("unicode_escape").decode("ascii")
        self._spool.write(f"{file.size_bytes}\t{file.fingerprint}\t{path}\n")

    def images(self) -> Iterator[SourceFile]:
        """Yield the image files again, in the order they were listed."""
        self._spool.seek(0)
        for line in self._spool:
            size, fingerprint, escaped = line.rstrip("\n").split("\t", 2)
            path = escaped.encode("ascii").decode("unicode_escape")
            if path not in self._companions:
                yield SourceFile(path, int(size), fingerprint)


def _any_of(patterns: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(map(fnmatch.translate, patterns))) if patterns else None


def _kind_of_other(file: SourceFile) -> str:
    if file.fingerprint == NOTHING_THERE:
        return "link that leads nowhere, and is no image"
    suffix = posixpath.splitext(file.path)[1].lower()
    return f"file that is no image ({suffix or 'no suffix'})"
