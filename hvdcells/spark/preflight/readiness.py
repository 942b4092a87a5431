"""Whether a session is ready for ranks, asked before every run: a second or two on a cluster, none on one machine."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.data.manifest import MANIFEST_NAME
from hvdcells.spark.preflight import probe
from hvdcells.spark.preflight.checks import PACKAGES, judge_places, judge_settings, judge_software
from hvdcells.spark.preflight.findings import raise_failed
from hvdcells.spark.preflight.survey import ask_executors
from hvdcells.spark.session import master_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def settings_of(spark: "SparkSession") -> dict[str, str]:
    """Return all settings of a session's application."""
    return dict(spark.sparkContext.getConf().getAll())


def refuse_settings(spark: "SparkSession") -> None:
    """Refuse a session that cannot keep its ranks together.

    Raises:
        UserError: dynamic allocation or speculation is on.
    """
    raise_failed(judge_settings(settings_of(spark)))


def refuse_executors(spark: "SparkSession", num_workers: int, dataset: Dataset | None, run: str | None) -> None:
    """Refuse executors on which ranks cannot work.

    Not asked on Spark's local masters, whose executors are this machine with this Python.

    Args:
        spark: a session with a free slot for each worker.
        num_workers: tasks that are asked.
        dataset: must be readable from each of them; None where there is none.
        run: location of the run directory, which each of them must be able to write to.

    Raises:
        UserError: all that is wrong, together.
    """
    if master_of(spark).startswith("local"):
        return
    with nullcontext() if run is None else token_in(run) as token:
        asked = question(dataset, run, token)
        answers = ask_executors(spark, num_workers, probe.ask, asked)
    raise_failed([*judge_software(driver_facts(), answers), *judge_places(answers)])


def driver_facts() -> dict[str, Any]:
    """Return what the executors are compared with."""
    versions = {name: probe.version_of(name) for name in PACKAGES}
    return {"host": platform.node(), "python": platform.python_version(), "versions": versions}


def question(dataset: Dataset | None, run: str | None, token: str | None) -> dict[str, Any]:
    """Return what `probe.ask` is asked."""
    readable = []
    if dataset is not None:
        files = [file.path for split in dataset.manifest.splits.values() for file in split.files]
        readable = [storage.join(dataset.location, name) for name in (MANIFEST_NAME, *files[:1])]
    return {"packages": PACKAGES, "readable": readable, "run": run, "token": token}


@contextmanager
def token_in(run: str) -> Iterator[str]:
    """Put a file into the run directory by which executors know that they see the same folder; yield its name.

    Its name is that of a file left aside, which the next start would remove.
    """
    token = f".preflight.{os.urandom(4).hex()}"
    place = storage.join(run, token)
    storage.write_text(place, "the driver's\n")
    try:
        yield token
    finally:
        storage.remove(place)
