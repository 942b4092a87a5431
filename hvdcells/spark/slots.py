"""Task slots: whether Spark can run all ranks at once, asked of Spark itself before Horovod waits for them."""

import time
from typing import TYPE_CHECKING

from hvdcells.errors import UserError
from hvdcells.spark.spark_internals import num_slots

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FIRST_WORD_SECONDS = 5.0
"""Executors that come up in this time need no word about it."""
POLL_SECONDS = 0.2


def wait_for_slots(spark: "SparkSession", num_workers: int, timeout_seconds: float, fewest: int | None = None) -> int:
    """Wait until every worker has a free slot; say what is missing after a few seconds, and whenever that changes.

    Args:
        spark: the session.
        num_workers: that are wanted.
        timeout_seconds: how long to wait for so many.
        fewest: that will do when the time is over; None for all.

    Returns:
        How many workers have one.

    Raises:
        UserError: there are still too few when the time is over.
    """
    fewest = num_workers if fewest is None else fewest
    began, said = time.monotonic(), None
    while True:
        slots, busy = num_slots(spark)
        if slots - busy >= num_workers:
            return num_workers
        waited = time.monotonic() - began
        held = f", {busy} of them held by other jobs of this session" if busy else ""
        found = f"Spark has given {slots} task slots{held}"
        if waited >= timeout_seconds and slots - busy >= fewest:
            return slots - busy
        if waited >= timeout_seconds:
            raise UserError(
                f"{num_workers} workers on the Spark master {spark.sparkContext.master!r}: "
                f"{found} in {timeout_seconds:g} s",
                "a free slot for each worker, since all must run at the same time",
                "use fewer --workers, end the applications that hold the cluster's cores or GPUs, or add machines; "
                "the page of the Spark master, or `yarn application -list`, shows who holds what",
            )
        if waited >= FIRST_WORD_SECONDS and found != said:
            then = "Giving up" if fewest == num_workers else f"Taking fewer, at least {fewest},"
            print(  # noqa: T201 - as the ranks tell the rest
                f"Waiting for {num_workers} workers: {found}. {then} after {timeout_seconds:g} s.", flush=True
            )
            said = found
        time.sleep(POLL_SECONDS)
