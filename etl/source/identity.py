"""When two names are surely the same: in spite of case, blanks, the form of their characters, or a table's `.0`."""

import re
import unicodedata

_WHOLE = re.compile(r"([+-]?\d+)\.0*")


def folded(name: str) -> str:
    """Return what is equal for names that are surely the same."""
    text = " ".join(unicodedata.normalize("NFKC", name).split()).casefold()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text
