"""What is out of support, by a dated table; docs/dependencies.md says why each version is held."""

from collections.abc import Callable, Sequence
from datetime import date
from typing import NamedTuple

from hvdcells.runs.provenance import version_of
from hvdcells.spark.preflight.findings import Finding

AS_OF = date(2026, 11, 25)
"""When the table was made."""


class Support(NamedTuple):
    """Until when somebody mends the faults of a version."""

    package: str
    series: str
    """What its versions begin with."""
    ended: date
    """From this day on it is told."""
    told: str
    """By whom, or why there is no more to come."""
    remedy: str


TABLE = (
    Support(
        "tensorflow",
        "2.18.",
        date(2025, 10, 1),
        "AWS patches it no longer since 2025-10",
        "Horovod 0.28.1 builds against none newer: docs/dependencies.md says what would have to change",
    ),
    Support(
        "horovod",
        "0.28.1",
        date(2023, 12, 31),
        "its last release is of 2023, and it is hardly maintained",
        "docs/dependencies.md says what could take its place",
    ),
)
"""Dates and statements are those of issue 20 of this project, looked up in November 2026."""


def judge_support(
    today: date, table: Sequence[Support] = TABLE, installed: Callable[[str], str | None] = version_of
) -> Finding:
    """Judge whether what is installed is still mended by somebody.

    Args:
        today: the day.
        table: what is known of versions.
        installed: returns the version of a package, or None.
    """
    over = [
        (entry, found)
        for entry in table
        if (found := installed(entry.package)) and found.startswith(entry.series) and today >= entry.ended
    ]
    known = f"by the table of {AS_OF}"
    if not over:
        return Finding("support", "driver", "ok", f"nothing is out of support, {known}")
    told = "; ".join(f"{entry.package} {found}: {entry.told}" for entry, found in over)
    remedy = "; ".join(f"{entry.package}: {entry.remedy}" for entry, _ in over)
    return Finding("support", "driver", "warning", f"{told}, {known}", "versions that somebody mends", remedy)
