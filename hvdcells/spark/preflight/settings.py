"""Spark's settings with which ranks cannot run, or not together."""

from collections.abc import Mapping

from hvdcells.spark.preflight.findings import Finding

DYNAMIC_ALLOCATION = "spark.dynamicAllocation.enabled"
SPECULATION = "spark.speculation"


def judge_settings(settings: Mapping[str, str]) -> list[Finding]:
    """Judge the settings of a Spark session.

    Args:
        settings: all that are set, by name.
    """
    return [_off(settings, DYNAMIC_ALLOCATION, _DYNAMIC), _off(settings, SPECULATION, _SPECULATION)]


_DYNAMIC = (
    "Spark gives and takes executors by itself, and all ranks must run from the first step to the last",
    f"--conf {DYNAMIC_ALLOCATION}=false --conf spark.executor.instances=NUMBER_OF_WORKERS",
)
_SPECULATION = (
    "Spark may start a slow task a second time, and a rank cannot be there twice",
    f"--conf {SPECULATION}=false",
)


def _off(settings: Mapping[str, str], name: str, why_and_remedy: tuple[str, str]) -> Finding:
    check, (why, remedy) = name.removeprefix("spark.").removesuffix(".enabled"), why_and_remedy
    if settings.get(name, "false").lower() != "true":
        return Finding(check, "driver", "ok", "off")
    return Finding(check, "driver", "failed", f"{name} is true: {why}", "that it is off", remedy)
