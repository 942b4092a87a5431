"""All that reaches into Spark: what its SparkContext in the JVM knows and PySpark does not hand on.

Upstream, PySpark would have to have these on `SparkContext` and `StatusTracker`, as Scala and Java have.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def num_slots(spark: "SparkSession") -> tuple[int, int]:
    """Return how many tasks the session's executors run at once, and how many tasks of other jobs run there now.

    GPUs and cores per task are taken into account. Executors that have not come up yet do not count.
    """
    context = _jvm_context(spark)
    slots = context.maxNumConcurrentTasks(context.resourceProfileManager().defaultResourceProfile())
    return slots, sum(executor.numRunningTasks() for executor in context.statusTracker().getExecutorInfos())


def num_executors(spark: "SparkSession") -> int:
    """Return how many executors Spark has; on one machine's local mode, the driver is the one."""
    return max(1, len(_jvm_context(spark).statusTracker().getExecutorInfos()) - 1)


def clear_job_group(spark: "SparkSession") -> None:
    """Let the jobs that follow in this thread belong to no group."""
    _jvm_context(spark).clearJobGroup()


def _jvm_context(spark: "SparkSession") -> Any:
    return spark.sparkContext._jsc.sc()
