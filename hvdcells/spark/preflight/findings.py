"""What a check found: one line of the doctor's table, and what `train` refuses to start with."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hvdcells.errors import UserError, raise_together

State = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True)
class Finding:
    """What one check found in one place."""

    check: str
    where: str
    """`driver`, the host of an executor, or `cluster`."""
    state: State
    found: str
    expected: str = ""
    remedy: str = ""


def raise_failed(findings: Iterable[Finding]) -> None:
    """Raise what failed, together; the same on several hosts is told once.

    Raises:
        UserError: something failed.
    """
    raise_together(
        UserError(f"{finding.check} on {finding.where}: {finding.found}", finding.expected, finding.remedy)
        for finding in gathered(findings)
        if finding.state == "failed"
    )


def gathered(findings: Iterable[Finding], named: int = 3) -> list[Finding]:
    """Return one finding where several places have the same; the order stays.

    Args:
        findings: in the order of their checks.
        named: so many places are named one by one, more are counted.
    """
    places: dict[Finding, list[str]] = defaultdict(list)
    for finding in findings:
        same = places[replace(finding, where="")]
        if finding.where not in same:
            same.append(finding.where)
    return [replace(finding, where=_together(where, named)) for finding, where in places.items()]


def _together(places: Sequence[str], named: int) -> str:
    if len(places) <= named:
        return ", ".join(places)
    return f"{', '.join(places[:named])} and {len(places) - named} more"
