"""`python -m tests.suite.spark_classes`: an archive of Spark's classes as Java holds them, from which it starts faster.

Of what Spark's Java does in a start, half is to unpack, parse and verify classes, the same ones each time. Java keeps
them in a file if it is asked to (class data sharing), which fits the Java and the jars of this environment alone.
"""

import os
import sys
from pathlib import Path

ARCHIVE = Path(sys.prefix) / "spark-classes.jsa"
QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"
"""Options of a Java that lives for seconds: the quick compiler alone, and the serial collector."""


def java_options() -> str:
    """Return the options that let Spark's Java start fast; one whose classes are others ignores the archive."""
    is_made = ARCHIVE.is_file() and ARCHIVE.stat().st_size > 0
    return f"{QUICK} -XX:SharedArchiveFile={ARCHIVE} -Xlog:cds*=off" if is_made else QUICK


def make_archive() -> None:
    """Let Java note the classes of a session that does a little of everything; no archive if it cannot."""
    from pyspark import SparkContext

    from hvdcells.spark.session import spark_session

    aside = ARCHIVE.with_suffix(".new")
    os.environ["SPARK_SUBMIT_OPTS"] = f"-XX:ArchiveClassesAtExit={aside} -Xlog:cds*=off"
    with spark_session("local[2]") as session:
        session.sparkContext.parallelize(range(4), 2).barrier().mapPartitions(list).collect()
        frame = session.createDataFrame([(1, "a"), (2, "b")], "number long, name string")
        frame.mapInArrow(lambda batches: batches, frame.schema).groupBy("name").count().collect()
    gateway = SparkContext._gateway
    assert gateway is not None
    java = gateway.proc
    java.stdin.close()  # at which it ends, and writes the archive
    java.wait()
    aside.touch()  # a Java without an archive of its own classes makes none
    aside.replace(ARCHIVE)


if __name__ == "__main__":
    make_archive()
