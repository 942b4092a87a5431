"""TensorFlowOnSpark: a TensorFlow cluster inside Spark executors, here with MultiWorkerMirroredStrategy."""

import argparse
import sys
from typing import Any

from benchmarks.methods.adapters.task import Task


def work(arguments: argparse.Namespace, context: Any) -> None:
    """Be one worker, in a process that the executor's task started."""
    from benchmarks.methods.adapters import mirrored_worker

    mirrored_worker.train(arguments.task, arguments.outcome, is_chief=context.job_name == "chief")


def main(task_folder: str, outcome_folder: str) -> None:
    """Start one executor a worker, and the cluster on them."""
    from tensorflowonspark import TFCluster

    from benchmarks.methods.adapters import tensorflow_on_spark
    from hvdcells.spark.session import spark_session

    workers = Task(task_folder).workers
    arguments = argparse.Namespace(task=task_folder, outcome=outcome_folder, num_gpus=0)
    with spark_session(f"local-cluster[{workers},1,1024]", conf={"spark.python.worker.reuse": "false"}) as spark:
        cluster = TFCluster.run(
            spark.sparkContext,
            tensorflow_on_spark.work,
            arguments,
            workers,
            num_ps=0,
            input_mode=TFCluster.InputMode.TENSORFLOW,
            master_node="chief",
        )
        cluster.shutdown(grace_secs=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
