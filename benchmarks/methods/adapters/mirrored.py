"""MultiWorkerMirroredStrategy through spark-tensorflow-distributor: TensorFlow's collectives in a barrier stage."""

import sys

from benchmarks.methods.adapters.task import Task


def work(task_folder: str, outcome_folder: str) -> None:
    """Be one worker, in a barrier task."""
    import json
    import os

    from benchmarks.methods.adapters import mirrored_worker

    index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    mirrored_worker.train(task_folder, outcome_folder, is_chief=index == 0)


def main(task_folder: str, outcome_folder: str) -> None:
    """Start the workers on `local[N]`."""
    from spark_tensorflow_distributor import MirroredStrategyRunner

    from benchmarks.methods.adapters import mirrored
    from hvdcells.spark.session import spark_session

    workers = Task(task_folder).workers
    with spark_session(slots=workers, conf={"spark.python.worker.reuse": "false"}):
        runner = MirroredStrategyRunner(num_slots=workers, use_gpu=False, use_custom_strategy=True)
        runner.run(mirrored.work, task_folder=task_folder, outcome_folder=outcome_folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
