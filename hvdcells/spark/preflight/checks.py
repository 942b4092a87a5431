"""The checks of every run: Spark keeps ranks together, executors have the driver's software and see its places."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from hvdcells.runs.provenance import VERSIONS_NOTED
from hvdcells.spark.preflight.findings import Finding, State
from hvdcells.spark.preflight.probe import UNASKED

DYNAMIC_ALLOCATION = "spark.dynamicAllocation.enabled"
SPECULATION = "spark.speculation"
PACKAGES = ("hvdcells", *VERSIONS_NOTED, "fsspec", "s3fs")
"""Whose versions must be the same on the driver and on every executor."""

_DYNAMIC = (
    "Spark gives and takes executors by itself, and all ranks must run from the first step to the last",
    f"--conf {DYNAMIC_ALLOCATION}=false --conf spark.executor.instances=NUMBER_OF_WORKERS",
)
_SPECULATION = (
    "Spark may start a slow task a second time, and a rank cannot be there twice",
    f"--conf {SPECULATION}=false",
)
_SAME_SOFTWARE = (
    "install the same environment there, or send the driver's along: `hvdcells launch environment`, or spark.archives"
)
_SEEN_BY_ALL = "a folder that all machines share under one path, or s3://, with the rights to work there"
_RIGHTS = {"list": "s3:ListBucket", "read": "s3:GetObject", "write": "s3:PutObject", "remove": "s3:DeleteObject"}

Facts = Mapping[str, Any]
"""What a probe has answered, by name."""


def judge_settings(settings: Mapping[str, str]) -> list[Finding]:
    """Judge the settings of a Spark session.

    Args:
        settings: all that are set, by name.
    """
    return [_off(settings, DYNAMIC_ALLOCATION, _DYNAMIC), _off(settings, SPECULATION, _SPECULATION)]


def _off(settings: Mapping[str, str], name: str, why_and_remedy: tuple[str, str]) -> Finding:
    check, (why, remedy) = name.removeprefix("spark.").removesuffix(".enabled"), why_and_remedy
    if settings.get(name, "false").lower() != "true":
        return Finding(check, "driver", "ok", "off")
    return Finding(check, "driver", "failed", f"{name} is true: {why}", "that it is off", remedy)


def judge_software(driver: Facts, executors: Sequence[Facts]) -> list[Finding]:
    """Compare Python and the packages of every executor with the driver's.

    Args:
        driver: `python` and `versions`, as `probe.ask` gives them.
        executors: the same of each executor, with its `host`.
    """
    findings = []
    for facts in executors:
        same = facts["python"].split(".")[:2] == driver["python"].split(".")[:2]
        found = f"{facts['python']} ({facts['executable']})"
        expected = f"{driver['python']}, as on the driver"
        state: State = "ok" if same else "failed"
        findings.append(Finding("Python", facts["host"], state, found, expected, _SAME_SOFTWARE))
    for facts in executors:
        differing = [
            f"{name} {facts['versions'].get(name) or 'missing'} (driver: {version or 'missing'})"
            for name, version in driver["versions"].items()
            if facts["versions"].get(name) != version
        ]
        found = ", ".join(differing) or f"{len(driver['versions'])} versions as on the driver"
        state = "failed" if differing else "ok"
        findings.append(Finding("packages", facts["host"], state, found, "the versions of the driver", _SAME_SOFTWARE))
    return findings


def judge_places(executors: Sequence[Facts]) -> list[Finding]:
    """Judge whether every executor reads the dataset and works in the run directory.

    Args:
        executors: `host`, `versions`, `readable` and `run` of each, as `probe.ask` gives them.
    """
    findings = []
    for facts in executors:
        if facts["versions"].get("hvdcells") is None:
            findings.append(Finding("places", facts["host"], "skipped", "not tried: hvdcells is missing there"))
            continue
        refused = {place: why for place, why in facts["readable"].items() if why}
        if facts["readable"]:
            found = "; ".join(f"{place}: {why}" for place, why in refused.items()) or "readable"
            findings.append(_place("dataset", facts["host"], found, refused.values()))
        if facts["run"] != UNASKED:
            why = [facts["run"]] if facts["run"] else []
            findings.append(_place("run directory", facts["host"], "; ".join(why) or "writable", why))
    return findings


def _place(check: str, where: str, found: str, refusals: Collection[str]) -> Finding:
    if not refusals:
        return Finding(check, where, "ok", found)
    rights = ", ".join(dict.fromkeys(_RIGHTS[why.partition(":")[0]] for why in refusals))
    remedy = f"name a place that every machine sees; in S3, give the role of the machines {rights} there"
    return Finding(check, where, "failed", found, _SEEN_BY_ALL, remedy)
