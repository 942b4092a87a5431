"""Horovod on Spark through hvdcells: this project's own training, on the dataset as it is.

The epochs are those of `metrics.jsonl` in the run directory, where the runner of the comparison reads them.
"""

import sys
from pathlib import Path

from benchmarks.methods.adapters.task import RUN, Outcome, Task


def main(task: Task, outcome: Outcome) -> None:
    """Train as `hvdcells train` does, and predict the test split with the last epoch's model."""
    import pandas as pd

    import hvdcells
    from benchmarks.methods.preparing import experiment_of
    from hvdcells.data.dataset import Dataset
    from hvdcells.scores.prediction_table import probability_column

    second = Dataset.open(task.dataset).manifest.class_names[1]
    run = hvdcells.train(task.dataset, Path(outcome.folder) / RUN, experiment_of(task), workers=task.workers)
    hvdcells.evaluate(run, split="test")
    predicted = pd.read_parquet(run.predictions("test")).set_index("source", verify_integrity=True)
    outcome.finish(predicted[probability_column(second)].loc[task.sources("test")].to_numpy())


if __name__ == "__main__":
    main(Task(sys.argv[1]), Outcome(sys.argv[2]))
