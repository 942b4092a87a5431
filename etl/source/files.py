"""What lies in a source: an inventory, whose images wait in a file on this machine's disk, never all in memory."""

import posixpath
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator

from hvdcells.images.cell_names import parse_cell_name
from hvdcells.images.files import TABLE_SUFFIXES, SourceFile


class Inventory:
    """What lies in a source: its image files, and a few facts to tell the layout by."""

    def __init__(self, files: Iterable[SourceFile]) -> None:
        """Go through the files once."""
        self.folders: Counter[str] = Counter()
        """Images directly in each folder, by its path below the source."""
        self.tables: list[str] = []
        """CSV and Parquet files."""
        self.num_images = 0
        self.num_other_files = 0
        self.has_cell_names = False
        """Some image is named as in C-NMC."""
        self._spool = tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n")  # noqa: SIM115
        for file in files:
            if file.is_image:
                self._add_image(file)
            elif file.path.lower().endswith(TABLE_SUFFIXES):
                self.tables.append(file.path)
            else:
                self.num_other_files += 1

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
