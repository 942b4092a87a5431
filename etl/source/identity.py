"""When two names are surely the same: in spite of case, blanks, the form of their characters, or a table's `.0`."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence

_WHOLE = re.compile(r"([+-]?\d+)\.0*")
_MISSING = frozenset(("nan", "none", "null", "na", "n/a", "unknown", "-", "?"))
_MOST_TOLD = 4


def folded(name: str) -> str:
    """Return what is equal for names that are surely the same."""
    text = " ".join(unicodedata.normalize("NFKC", name).split()).casefold()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def settle_subjects(found: Mapping[str, int], exact: bool = False) -> tuple[dict[str, str], tuple[str, ...]]:
    """Settle which names of subjects stand for one person.

    Args:
        found: images of each name.
        exact: names that differ are different people.

    Returns:
        The name that stands for each that is spelled differently, and what must be said: what was taken for one, what
        may be, and names that look like missing values.
    """
    notes = [
        f"the subject {name!r} ({num} images) looks like a missing value"
        for name, num in sorted(found.items())
        if name.casefold() in _MISSING
    ]
    keys = {name: name if exact else folded(name) for name in found}
    if not exact and all(key.isdecimal() for key in keys.values()):
        # A spreadsheet takes leading zeros away; among words they may be part of a name.
        keys = {name: str(int(key)) for name, key in keys.items()}
    same = _alike(found, keys)
    if same:
        notes.append(f"names of subjects that are taken for one: {_told(same)}; --subjects exact keeps them apart")
    standing = {name: names[0] for names in same for name in names}
    left = {name: num for name, num in found.items() if standing.get(name, name) == name}
    maybe = _alike(left, {name: re.sub(r"[\W_]+|(?<!\d)0+(?=\d)", "", folded(name)) or name for name in left})
    if maybe and not exact:
        notes.append(f"names of subjects that may be one person, and are taken for different ones: {_told(maybe)}")
    return standing, tuple(notes)


def _alike(found: Mapping[str, int], keys: Mapping[str, str]) -> list[list[str]]:
    """Return the names that share a key, the most frequent first."""
    sharing: dict[str, list[str]] = defaultdict(list)
    for name in sorted(found, key=lambda name: (-found[name], name)):
        sharing[keys[name]].append(name)
    return [names for names in sharing.values() if len(names) > 1]


def _told(sets: Sequence[Sequence[str]]) -> str:
    more = f" and {len(sets) - _MOST_TOLD} more" if len(sets) > _MOST_TOLD else ""
    return "; ".join(" = ".join(names[:_MOST_TOLD]) for names in sets[:_MOST_TOLD]) + more
