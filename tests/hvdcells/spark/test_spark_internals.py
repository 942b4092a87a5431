"""What is asked of the JVM's SparkContext, and that PySpark still does not tell it."""

import pytest

from hvdcells.spark.spark_internals import clear_job_group, num_executors, num_slots


@pytest.mark.spark
def test_slots_and_executors_of_one_machine(spark):
    assert num_slots(spark) == (2, 0)
    assert num_executors(spark) == 1


@pytest.mark.spark
def test_a_job_group_is_cleared_with_all_that_belongs_to_it(spark):
    context = spark.sparkContext
    context.setJobGroup("some", "group", interruptOnCancel=True)
    clear_job_group(spark)
    names = ("spark.jobGroup.id", "spark.job.description", "spark.job.interruptOnCancel")
    assert [context.getLocalProperty(name) for name in names] == [None] * 3


def test_pyspark_as_it_is_does_not_tell():
    from pyspark import SparkContext, StatusTracker

    assert not hasattr(SparkContext, "maxNumConcurrentTasks")
    assert not hasattr(SparkContext, "clearJobGroup")
    assert not hasattr(StatusTracker, "getExecutorInfos")
