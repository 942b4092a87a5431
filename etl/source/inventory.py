"""What lies in a source: its image files, spooled to this machine's disk, and a few facts to tell the layout by."""

import posixpath
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO

from etl.source.files import SourceFile
from etl.source.names import parse_cell_name

TABLE_SUFFIXES = (".csv", ".parquet")


@dataclass
class Inventory:
    """Facts about a source's files. The images themselves wait on disk: a listing may not fit into memory."""

    folders: Counter[str] = field(default_factory=Counter)
    """Images directly in each folder, by its path below the source."""
    tables: list[str] = field(default_factory=list)
    """CSV and Parquet files."""
    num_images: int = 0
    num_other_files: int = 0
    has_cell_names: bool = False
    """Some image is named as in C-NMC."""
    _spool: IO[str] | None = None

    @classmethod
    def take(cls, files: Iterable[SourceFile]) -> "Inventory":
        """Go through the files once."""
        inventory = cls(_spool=tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n"))  # noqa: SIM115
        for file in files:
            if file.is_image:
                inventory._add_image(file)
            elif file.path.lower().endswith(TABLE_SUFFIXES):
                inventory.tables.append(file.path)
            else:
                inventory.num_other_files += 1
        return inventory

    def _add_image(self, file: SourceFile) -> None:
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
            size, fingerprint, path = line.rstrip("\n").split("\t", 2)
            yield SourceFile(path.encode("ascii").decode("unicode_escape"), int(size), fingerprint)
