"""The examination: driver, Spark, every executor, the ranks together."""

import contextlib
import platform
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.spark.backends import HorovodOnSpark
from hvdcells.spark.preflight import probe
from hvdcells.spark.preflight.checks import DYNAMIC_ALLOCATION, judge_places, judge_settings, judge_software
from hvdcells.spark.preflight.findings import Finding
from hvdcells.spark.preflight.readiness import driver_facts, question, settings_of
from hvdcells.spark.preflight.survey import ask_executors
from hvdcells.spark.session import master_of, spark_session
from hvdcells.spark.slots import wait_for_slots
from hvdcells.spark.spark_internals import num_executors, num_slots
from launch.doctor import driver, probes
from launch.doctor.checks import (
    judge_clocks,
    judge_disk,
    judge_gpus,
    judge_horovod,
    judge_memory,
    judge_names,
    judge_network,
    judge_overhead,
    judge_reached,
)
from launch.doctor.collective import try_collectives
from launch.doctor.support import judge_support

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SURVEY_SECONDS = 300.0
PREVENT_RANKS = {"Python", "packages", "Horovod", "network", "host names", "executors"}
"""Checks without which it makes no sense to start ranks."""


def examine(
    master: str | None,
    conf: Mapping[str, str],
    workers: int | None,
    dataset: str | None,
    run: str | None,
    wait_seconds: float,
    say: Callable[[str], Any] = lambda text: None,
) -> list[Finding]:
    """Examine everything that a run needs; what cannot be examined is a finding too.

    Args:
        master: Spark master; None for this machine.
        conf: Spark settings.
        workers: ranks that a run would have; None for as many as Spark has slots.
        dataset: location of a dataset, or None.
        run: location of a run directory, made or not, or None.
        wait_seconds: how long to wait for Spark's slots.
        say: told what is done next.
    """
    findings = [Finding("Python", "driver", "ok", platform.python_version()), driver.judge_requirements()]
    findings.append(judge_support(date.today()))
    opened = None
    if dataset is not None:
        opened, found = driver.open_dataset(dataset)
        findings += found
    with contextlib.ExitStack() as stack:
        seen: driver.SeenFolder | None = None
        if run is not None:
            seen, found = stack.enter_context(driver.run_directory(storage.absolute(run)))
            findings += found
        say("Spark")
        try:
            spark = stack.enter_context(spark_session(master, workers or 2, conf))
        except UserError as error:
            return [*findings, *driver.failed("Spark", error)]
        findings += _spark(spark)
        if settings_of(spark).get(DYNAMIC_ALLOCATION, "false").lower() == "true":
            return [*findings, Finding("executors", "cluster", "skipped", "not asked while dynamic allocation is on")]
        say("executors")
        slots, found = _slots(spark, workers, wait_seconds)
        findings += found
        num_workers = workers or slots
        if opened is not None:
            findings += driver.judge_workers(opened, num_workers)
        if slots:
            findings += _executors(spark, slots, question(opened, *(seen or (None, None))))
        if slots < num_workers or any(each.state == "failed" and each.check in PREVENT_RANKS for each in findings):
            return [*findings, Finding("allreduce", "cluster", "skipped", "not tried while the above fails")]
        say("Horovod between the executors")
        logs = storage.join(seen.location, seen.token.replace("preflight", "preflight-logs")) if seen else None
        if logs:
            stack.callback(storage.remove, logs)
        return [*findings, try_collectives(HorovodOnSpark(num_workers), logs)]


def _spark(spark: "SparkSession") -> list[Finding]:
    master, settings = master_of(spark), settings_of(spark)
    findings = [Finding("Spark", "driver", "ok", f"{spark.version} on {master}"), *judge_settings(settings)]
    overhead = judge_overhead(master, settings)
    return findings if overhead is None else [*findings, overhead]


def _slots(spark: "SparkSession", workers: int | None, wait_seconds: float) -> tuple[int, list[Finding]]:
    """Wait for the slots that are asked for, else for an executor of each that Spark was asked for."""
    asked = workers or int(settings_of(spark).get("spark.executor.instances", "1"))
    try:
        wait_for_slots(spark, asked, wait_seconds)
    except UserError as error:
        return num_slots(spark)[0], [Finding("slots", "cluster", "failed", error.given, error.expected, error.remedy)]
    slots, busy = num_slots(spark)
    return slots - busy, [Finding("slots", "cluster", "ok", f"{slots - busy} free")]


def _executors(spark: "SparkSession", slots: int, asked: dict[str, Any]) -> list[Finding]:
    """Ask every executor, and judge what they answer."""
    own = driver_facts()
    with probes.listener() as listening:
        asked = {**asked, "driver": probes.listening(listening)}
        began = time.time()
        try:
            answers = ask_executors(spark, slots, probes.examine, asked, SURVEY_SECONDS, needs=[probe])
        except UserError as error:
            return driver.failed("executors", error)
        ended = time.time()
    first = [facts for facts in answers if facts["is_first"]]
    findings = [judge_reached(answers, num_executors(spark)), *judge_software(own, first), *judge_places(first)]
    findings += [judge_horovod(facts["host"], facts["horovod"]) for facts in first]
    for facts in first:
        findings += judge_gpus(facts["host"], facts["gpus"], facts["horovod"], facts["restriction"])
    for facts in first:
        others = [each for each in first if each is not facts]
        findings += judge_network(facts["host"], asked["driver"], [facts, *others])
    findings += [judge_names(facts["host"], facts) for facts in first]
    here = Counter(facts["host"] for facts in first)
    for judge in (judge_memory, judge_disk):
        findings += [judge(facts["host"], facts, here[facts["host"]]) for facts in first]
    times = {facts["host"]: facts["time"] for facts in answers}
    # The driver's clock said something between these two at that moment.
    nearest = min(max(began, next(iter(times.values()))), ended)
    return [*findings, judge_clocks({"driver": nearest, **times})]
