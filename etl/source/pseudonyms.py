"""Pseudonyms: what names a person or a file of the source is replaced before anything is written.

A pseudonym is an HMAC (RFC 2104, SHA-256) of the name under a key that only its holder has: the same name has the same
pseudonym in every dataset made with that key, and without the key no name can be tried out. Which pseudonym is whose
stands in a map beside the key, never in the dataset.
"""

import csv
import hmac
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from etl.source.rows import ImageRow
from hvdcells import storage
from hvdcells.errors import UserError

KEY_BYTES = 32
PSEUDONYM_DIGITS = 20
"""Hexadecimal: 80 bits, so that two names in a million share a pseudonym once in 10¹² datasets."""
NAMES = ("subject", "source", "image_id", "cell")
"""Fields of a row that name a person, or a file whose name may."""


class Pseudonyms:
    """Pseudonyms under the key of a file.

    Args:
        key_file: on this machine's disk; 64 hexadecimal digits.

    Raises:
        UserError: it holds no key, or others may read it.
    """

    def __init__(self, key_file: str | os.PathLike[str]) -> None:
        self._file = Path(key_file).absolute()
        self._key = _read_key(self._file)

    @property
    def key_id(self) -> str:
        """What tells one key from another, and nothing about it; the options of a dataset hold it."""
        return self._digest("key", "")[:16]

    def of(self, field: str, name: str) -> str:
        """Return the pseudonym of a name; of no name, none."""
        return self._digest(field, name)[:PSEUDONYM_DIGITS] if name else ""

    def of_row(self, row: ImageRow) -> ImageRow:
        """Return a row with pseudonyms in the place of names; `path` still tells where the image is read."""
        subject, source, image_id, cell = (self.of(field, getattr(row, field)) for field in NAMES)
        return row._replace(subject=subject, source=source, image_id=image_id, cell=cell, path=row.where)

    @contextmanager
    def new_map(self) -> Iterator["PseudonymMap"]:
        """Yield a map to add rows to; it stands beside the key, whole, once its listing's digest is set."""
        with storage.unnamed_file(self._file.parent) as file, open(file.path, "w", newline="") as text:  # noqa: PTH123
            os.fchmod(text.fileno(), stat.S_IRUSR | stat.S_IWUSR)
            made = PseudonymMap(text)
            yield made
            text.flush()
            if made.listing_digest:
                file.location = f"{self._file}.{made.listing_digest[:16]}.csv"

    def _digest(self, field: str, name: str) -> str:
        return hmac.digest(self._key, f"{field}\0{name}".encode("utf-8", "surrogatepass"), "sha256").hex()


class PseudonymMap:
    """The table of pseudonyms of one listing: a line an image, its pseudonyms and its names."""

    def __init__(self, text: IO[str]) -> None:
        self.listing_digest = ""
        self._lines = csv.writer(text)
        self._lines.writerow([*(f"{field}_pseudonym" for field in NAMES), *NAMES])

    def add_all(self, pseudonymous: Iterable[ImageRow], named: Iterable[ImageRow]) -> None:
        """Add images, each as it stands in the dataset and as the source names it."""
        self._lines.writerows(
            [getattr(row, field) for row in pair for field in NAMES] for pair in zip(pseudonymous, named, strict=True)
        )


def _read_key(file: Path) -> bytes:
    if not file.exists():
        return _new_key(file)
    if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UserError(f"{file} can be read by others", "a key that only you can read", f"chmod 600 '{file}'")
    try:
        key = bytes.fromhex(file.read_text(encoding="ascii").strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise UserError(
            f"{file} holds no key of pseudonyms",
            f"{2 * KEY_BYTES} hexadecimal digits, as this command writes them where no file is",
            "name another file, or one that does not exist yet",
        )
    return key


def _new_key(file: Path) -> bytes:
    key = secrets.token_bytes(KEY_BYTES)
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as text:  # noqa: PTH123
        text.write(key.hex() + "\n")
    return key
