"""Releases of EMR that this was made for, and until when AWS supports them.

Dates: AWS's release guide, the pages "Amazon EMR release 7.14.0" and "7.13.0" (emr-7140-release, emr-7130-release),
looked up on 2026-11-25.
"""

from datetime import date
from typing import NamedTuple


class Release(NamedTuple):
    """One release; all of them bring Amazon Linux 2023, Spark 3.5 and Python 3.11."""

    supported_until: date
    """The last day of AWS's standard support."""


RELEASES = {
    "emr-7.14.0": Release(date(2028, 9, 8)),
    "emr-7.13.0": Release(date(2028, 4, 21)),
}
"""The default first, then the fallback."""
DEFAULT = next(iter(RELEASES))


def warning_about(label: str, today: date) -> str | None:
    """Return what to know of a release before it is paid for; None where it is one of these and supported."""
    known = RELEASES.get(label)
    if known is None:
        return f"{label} is none of the releases that this version was made for: {', '.join(RELEASES)}."
    if today > known.supported_until:
        return f"AWS's support of {label} has ended on {known.supported_until}; --release names another."
    return None
