"""Why Spark did not start: the cause in the user's words, with the remedy that belongs to it."""

import os
import re
import shutil
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from hvdcells.errors import UserError, raise_together

MASTERS = "a master such as local[2], local-cluster[2,1,1024], spark://host:7077 or yarn"

KNOWN_MASTER = re.compile(r"local(\[.+\]|-cluster\[\d+ *, *\d+ *, *\d+\])?$|spark://.+:\d+|yarn$|k8s://|mesos://")
ANSWER_SECONDS = 10.0
"""The longest that a connection may take."""
STARTING_SECONDS = 30.0
"""A master that is started beside this command, as SageMaker's containers do, may take so long until it answers; Spark
itself tries for minutes."""


def refuse_before_start(master: str | None, conf: Mapping[str, str]) -> None:
    """Refuse a Java or a Python that is not there, before Spark fails at it without saying so.

    Args:
        master: of the session; None where spark-submit has chosen it.
        conf: the user's settings of Spark.

    Raises:
        UserError: all that is missing, together.
    """
    problems = []
    home = os.environ.get("JAVA_HOME")
    java = Path(home) / "bin" / "java" if home else None
    if java is not None and not os.access(java, os.X_OK):
        problems.append(
            UserError(
                f"JAVA_HOME={home}, where there is no bin/java that can be run",
                "the folder of a Java 8, 11 or 17",
                "correct JAVA_HOME, or unset it: a Java comes with hvdcells",
            )
        )
    is_local = master is not None and master.startswith("local")
    python = os.environ.get("PYSPARK_PYTHON")
    if is_local and python and shutil.which(python) is None:
        name = "spark.pyspark.python" if "spark.pyspark.python" in conf else "PYSPARK_PYTHON"
        problems.append(
            UserError(
                f"{name}={python}, which cannot be run on this machine",
                "the Python that Spark's workers are to run, with hvdcells installed",
                f"correct {name}, or leave it out: workers then run the Python of this command",
            )
        )
    if master is not None and not KNOWN_MASTER.match(master):
        problems.append(
            UserError(f"the Spark master {master!r}", MASTERS, "correct --master, or leave it out to use this machine")
        )
    elif master is not None and master.startswith("spark://") and not _answers_in_time(master):
        problems.append(
            UserError(
                f"the Spark master {master!r}, where nothing answers",
                "a Spark master that runs and can be reached from here",
                "look whether it runs, and at host, port and firewall; its page, port 8080, shows its address",
            )
        )
    raise_together(problems)


def _answers_in_time(master: str) -> bool:
    """Whether a master answers, which may be starting beside this command."""
    deadline = time.monotonic() + STARTING_SECONDS
    while not _answers(master):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def _answers(master: str) -> bool:
    """Whether something accepts connections at one of the addresses `spark://host:port,host:port` at least."""
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        with suppress(OSError, ValueError), socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS):
            return True
    return False


def start_failure(master: str | None, error: BaseException) -> UserError:
    """Return what a user is told of a session that did not start."""
    told = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in told if "Exception" in line and not line.startswith(("at ", "py4j"))]
    reason = (causes or told or [type(error).__name__])[0].removeprefix(": ")
    text = str(error)
    given = f"Spark did not start with the master {master!r}: {reason}"
    if "Master URL" in text:
        return UserError(given, MASTERS, "correct --master, or leave it out to use this machine")
    if "HADOOP_CONF_DIR" in text or "YARN_CONF_DIR" in text:
        return UserError(given, "the configuration of the YARN cluster", "set HADOOP_CONF_DIR to its folder")
    if "Java gateway process exited" in text or "JAVA_GATEWAY_EXITED" in text:
        return UserError(
            given,
            "a Java that starts with these settings",
            "read Java's own words above; correct JAVA_HOME or the --conf that it names",
        )
    return UserError(given, "settings with which Spark starts", f"correct what it names: {reason}")
