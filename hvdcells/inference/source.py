"""The images to predict: of a folder, of a C-NMC folder or of a table, on disk or in a bucket; labelled or not.

What a source says of labels and subjects is carried along. None of it is needed.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

import xxhash

from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.images.cell_names import is_preliminary_test, labels_in, parse_cell_name, subject_in_path
from hvdcells.images.files import TABLE_SUFFIXES, list_files
from hvdcells.images.tables import columns_of, is_table_in_parts, lines_of


class ListedImage(NamedTuple):
    """An image to predict."""

    path: str
    """Below the source's base, absolute, or an address."""
    subject: str = ""
    """Empty where the source names none."""
    class_name: str = ""
    """What the source says it is; empty where it says nothing."""
    fingerprint: str = ""
    """What tells that a file has changed; empty for the images of tables."""


@dataclass(frozen=True)
class Source:
    """A source whose images can be listed."""

    location: str
    base: str
    """Location that paths of images are below."""
    table: str | None
    """The table that names the images; None for a folder."""

    @classmethod
    def open(cls, location: storage.Location) -> "Source":
        """Find out what a source is.

        Raises:
            UserError: nothing is there, or it is no folder and no table.
        """
        source = storage.absolute(location)
        if storage.is_file(source) or is_table_in_parts(source):
            if "path" not in columns_of(source):
                raise UserError(
                    f"the source {source} is a file" + (" without a column path" * source.endswith(TABLE_SUFFIXES)),
                    "a folder of images, or a table: CSV or Parquet with a column path, and optionally subject, label",
                    "name the folder that holds the image, or a table of images",
                )
            return cls(source, source.rsplit("/", 1)[0], source)
        if not storage.exists(source):
            raise UserError(
                f"the source {source} does not exist",
                "a folder of images, or a table that names them; on disk, s3:// or any fsspec address",
                "correct the path",
            )
        found = [name for name in storage.names_in(source) if name.lower().endswith(TABLE_SUFFIXES)]
        tables = [place for name in found if "path" in columns_of(place := storage.join(source, name))]
        if len(tables) > 1:
            raise UserError(
                f"{len(tables)} tables with the column path are in {source}",
                "one",
                "name the table itself as the source",
            )
        return cls(source, source, tables[0] if tables else None)

    def images(self, class_names: Sequence[str], subject_pattern: str | None = None) -> Iterator[ListedImage]:
        """Yield every image once, in an order that depends on the source alone.

        Args:
            class_names: of the run; a folder of this name says what its images are.
            subject_pattern: finds the subject in the path of an image (its first group), where nothing else tells it.

        Raises:
            UserError: the table names an image twice, or the pattern is none.
        """
        try:
            pattern = re.compile(subject_pattern) if subject_pattern else None
        except re.error as error:
            raise UserError(
                f"--subject-pattern {subject_pattern!r} ({error})",
                r"a regular expression whose first group is the subject, such as 'patient_(\d+)'",
                "correct it",
            ) from None
        return self._of_folder(class_names, pattern) if self.table is None else self._of_table(pattern)

    def _of_folder(self, class_names: Sequence[str], pattern: "re.Pattern[str] | None") -> Iterator[ListedImage]:
        labels: dict[str, str] | None = None
        for file in list_files(self.location):
            if not file.is_image:
                continue
            name = PurePosixPath(file.path).name
            if is_preliminary_test(file.path):
                labels = self._preliminary_names() if labels is None else labels
                name = labels.get(name.lower(), name)
            cell = parse_cell_name(name)
            folders = [part for part in PurePosixPath(file.path).parts[:-1] if part in class_names]
            yield ListedImage(
                file.path,
                cell.subject if cell else subject_in_path(file.path, pattern),
                cell.class_name if cell else (folders or [""])[-1],
                f"{file.size_bytes}-{file.fingerprint}",
            )

    def _preliminary_names(self) -> dict[str, str]:
        """Return the original names of C-NMC's preliminary test, by its new ones in lower case."""
        tables = [file.path for file in list_files(self.location) if file.is_table]
        return {new: original for new, (original, _) in labels_in(self.location, tables).items()}

    def _of_table(self, pattern: "re.Pattern[str] | None") -> Iterator[ListedImage]:
        seen: set[int] = set()  # 64 bits a path, not the paths
        for number, line in enumerate(lines_of(self.table or ""), start=2):
            path = line["path"]
            known = xxhash.xxh3_64_intdigest(path.encode("utf-8", "surrogatepass"))
            if not path or known in seen:
                raise UserError(
                    f"line {number} of the table {self.table} names {f'{path} again' if path else 'no image'}",
                    "each image once, so that each is predicted once",
                    "remove the line",
                )
            seen.add(known)
            yield ListedImage(path, line.get("subject") or subject_in_path(path, pattern), line.get("label", ""))
