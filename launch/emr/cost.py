"""What a cluster has cost: hours of each of its machines by the price table."""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.runs.directory import RunDirectory, write_json
from launch.aws.estimate import Estimate, Machines, estimate
from launch.clusters.instances import Catalogue
from launch.emr.cluster_state import cluster_errors

MIN_HOURS = 1 / 60
"""EMR's and EC2's shortest bill."""


def cost_of(emr: Any, cluster_id: str, prices: Catalogue, now: float | None = None) -> Estimate:
    """Return what a cluster has cost so far, without its disks: EMR does not tell their sizes.

    Args:
        emr: a client of EMR.
        cluster_id: a cluster that runs or has ended; EMR forgets it after two months.
        prices: `launch.clusters.instances.catalogue()`.
        now: seconds since 1970; None for the clock's.

    Raises:
        UserError: no such cluster, no right to ask, or machines that the table lacks or that never ran.
    """
    with cluster_errors(cluster_id):
        pages = emr.get_paginator("list_instances").paginate(ClusterId=cluster_id)
        instances = [each for page in pages for each in page.get("Instances", ())]
    hours: defaultdict[tuple[str, str], float] = defaultdict(float)
    count: Counter[tuple[str, str]] = Counter()
    for instance in instances:
        seconds = _seconds(instance["Status"].get("Timeline", {}), time.time() if now is None else now)
        if seconds is not None:
            kind = instance["InstanceType"], instance.get("Market", "ON_DEMAND")
            hours[kind] += max(MIN_HOURS, seconds / 3600)
            count[kind] += 1
    if not hours:
        raise UserError(f"the cost of {cluster_id}, none of whose machines has run", "a cluster that began", "wait")
    rows = [
        Machines(f"{count[name, market]} machines", name, 1, "emr", market == "SPOT", hours=total)
        for (name, market), total in sorted(hours.items())
    ]
    return estimate(rows, 1, prices)


def add_cost(directory: RunDirectory, cluster_id: str, costs: Mapping[str, Any]) -> None:
    """Write what a cluster has cost into a run, beside what it cost on other clusters before.

    Args:
        directory: a run that is there.
        cluster_id: whose cost it is; told again, it takes the place of what was told earlier.
        costs: an `Estimate` as JSON's types.
    """
    known = directory.read_json(directory.cost)["clusters"] if storage.exists(directory.cost) else {}
    clusters = {**known, cluster_id: dict(costs)}
    total = {
        "usd_least": round(sum(each["usd_least"] for each in clusters.values()), 4),
        "usd": round(sum(each["usd"] for each in clusters.values()), 4),
        "as_of": ", ".join(sorted({each["as_of"] for each in clusters.values()})),
        "missing": sorted({part for each in clusters.values() for part in each["missing"]}),
    }
    write_json(directory.cost, {**total, "clusters": clusters})


def _seconds(timeline: Mapping[str, Any], now: float) -> float | None:
    """Return how long a machine has run; None if it never did."""
    began, ended = timeline.get("ReadyDateTime"), timeline.get("EndDateTime")
    if began is None:
        return None
    return float((now if ended is None else ended.timestamp()) - began.timestamp())
