"""The directories of a TIFF, one for each page; EXIF blocks are made of them too."""

from collections.abc import Iterator

WIDTH, HEIGHT, SUBFILE_KIND, ORIENTATION = 256, 257, 254, 274
_TAGS = frozenset((WIDTH, HEIGHT, SUBFILE_KIND, ORIENTATION))
_BYTES_OF_KIND = {3: 2, 4: 4, 16: 8}
_MOST_ENTRIES = 1000
_MOST_DIRECTORIES = 100_000


def directories(content: bytes) -> Iterator[dict[int, int]]:
    """Yield the tags that are asked for here, with their values, of each directory of a TIFF or BigTIFF in turn."""
    order = "little" if content[:2] == b"II" else "big"

    def number(at: int, length: int) -> int:
        return int.from_bytes(content[at : at + length], order)  # type: ignore[arg-type]

    big = number(2, 2) == 43
    at = number(8, 8) if big else number(4, 4)
    seen: set[int] = set()
    while at and at not in seen and at < len(content) and len(seen) < _MOST_DIRECTORIES:
        seen.add(at)
        count, at, entry_bytes, value_at = (number(at, 8), at + 8, 20, 12) if big else (number(at, 2), at + 2, 12, 8)
        found: dict[int, int] = {}
        for entry in range(at, min(len(content), at + min(count, _MOST_ENTRIES) * entry_bytes), entry_bytes):
            if (tag := number(entry, 2)) in _TAGS:
                found[tag] = number(entry + value_at, _BYTES_OF_KIND.get(number(entry + 2, 2), 4))
        yield found
        at = number(at + count * entry_bytes, 8 if big else 4)


def num_pages(content: bytes) -> int:
    """Return the number of pages of a TIFF; smaller copies of a page, as scanners keep them, are none."""
    return sum(not found.get(SUBFILE_KIND, 0) & 1 for found in directories(content))
