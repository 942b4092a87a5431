"""What a launch will cost, about: from the dated table of machines and prices."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hvdcells.errors import UserError
from launch.clusters.instances import Catalogue, HourlyPrice, Service

HOURS_IN_A_MONTH = 730


@dataclass(frozen=True)
class Machines:
    """Machines of one kind that a launch asks for."""

    role: str
    """What they do there, such as "core"."""
    instance_type: str
    count: int
    service: Service
    spot: bool = False
    ebs_gib: int = 0
    """Disk of each."""
    hours: float | None = None
    """How long they run, where it is not the whole time."""
    alternatives: tuple[str, ...] = ()
    """Other types that may come instead."""


@dataclass(frozen=True)
class EstimateRow:
    """The cost of one kind of machine."""

    role: str
    instance_type: str
    count: int
    market: str
    hours: float
    usd_per_hour: float
    """All of them together, disks included; the most, of spot machines and of several types."""
    usd: float
    usd_least: float
    """What spot machines, or the cheapest of several types, may cost instead."""


@dataclass(frozen=True)
class Estimate:
    """About what a launch costs. Prices come from a dated table and change: it is no offer."""

    rows: tuple[EstimateRow, ...]
    usd_per_hour: float
    usd: float
    usd_least: float
    missing: tuple[str, ...]
    """The parts of the price for which the table has no source; they are not in the sums."""
    as_of: str
    region: str
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON's types."""
        return asdict(self) | {"rows": [asdict(row) for row in self.rows]}

    def __str__(self) -> str:
        total = f"{self.usd:.2f}" if self.usd == self.usd_least else f"{self.usd_least:.2f} to {self.usd:.2f}"
        about = "more than" if self.missing else "about"
        return (
            f"{about} {self.usd_per_hour:.2f} USD per hour, {about} {total} USD in all "
            f"(prices of {self.as_of}, {self.region}; S3, transfer and taxes not included)"
            + (f"; without {', '.join(self.missing)}: the table has no source for it" if self.missing else "")
        )


def estimate(machines: Sequence[Machines], hours: float, prices: Catalogue) -> Estimate:
    """Estimate the cost of machines that run for some hours.

    Args:
        machines: all that the launch asks for.
        hours: how long it is expected to take.
        prices: `launch.clusters.instances.catalogue()`.

    Raises:
        UserError: the hours are not above 0, or a machine is not in the table.
    """
    if hours <= 0:
        raise UserError(f"{hours:g} hours", "more than 0", "correct --hours")
    rows = tuple(_row(group, hours if group.hours is None else group.hours, prices) for group in machines)
    return Estimate(
        rows=rows,
        usd_per_hour=round(sum(row.usd_per_hour for row in rows), 4),
        usd=round(sum(row.usd for row in rows), 4),
        usd_least=round(sum(row.usd_least for row in rows), 4),
        missing=tuple(
            dict.fromkeys(each for group in machines for found in _found(group, prices) for each in found.missing)
        ),
        as_of=prices.as_of,
        region=prices.region,
        note=prices.note,
    )


def _found(group: Machines, prices: Catalogue) -> list[HourlyPrice]:
    types = (group.instance_type, *group.alternatives)
    return [prices.known_usd_per_hour(name, group.service, group.spot) for name in types]


def _row(group: Machines, hours: float, prices: Catalogue) -> EstimateRow:
    found = _found(group, prices)
    least, most = min(price.least for price in found), max(price.most for price in found)
    disk = group.ebs_gib * prices.ebs_gib_month_usd / HOURS_IN_A_MONTH
    per_hour = group.count * (most + disk)
    return EstimateRow(
        role=group.role,
        instance_type=" or ".join((group.instance_type, *group.alternatives)),
        count=group.count,
        market="spot" if group.spot else "on demand",
        hours=hours,
        usd_per_hour=round(per_hour, 4),
        usd=round(per_hour * hours, 4),
        usd_least=round(group.count * (least + disk) * hours, 4),
    )
