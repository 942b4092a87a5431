"""One start of the ranks, in a process of its own: `python -m benchmarks.scaling.start`, JSON in, JSON out.

A process of its own, since a used one has a JVM and a rank server that a new `hvdcells train` would have to start. It
ends when the sweep that wants it ends, in whatever way.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.scaling.plan import PlannedPoint
from benchmarks.scaling.processes import run_to_its_end
from hvdcells.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SPARK_SETTINGS = ("spark.master", "spark.executor.", "spark.task.", "spark.cores.", "spark.dynamicAllocation.")
"""Of Spark's settings, those that a point keeps; values of others may be secret."""
LINES_KEPT = 40
"""Of what ranks that failed had said."""

Outcome = dict[str, Any]
"""`ranks` (of each, what `measure_on_rank` returned), `spark_settings`, `spark_seconds` (until there was a session)."""
Start = Callable[[PlannedPoint], Outcome]


class StartFailedError(Exception):
    """The ranks did not come to an end; the message holds the reason."""


def start(point: PlannedPoint) -> Outcome:
    """Start the ranks of a point once, and wait for what they measured.

    Raises:
        UserError: a rank, or Spark, refused what the user asks for.
        StartFailedError: they failed otherwise.
    """
    request = point.request
    job = {
        "experiment": point.experiment.model_dump(mode="json"),
        "workers": point.world_size,
        "master": request.master,
        "conf": dict(request.conf),
        "start_timeout_seconds": request.start_timeout_seconds,
        "dataset": point.dataset and point.dataset.location,
        "steps": request.steps,
        "blocks": request.blocks,
        "warmup_steps": request.warmup_steps,
    }
    with tempfile.NamedTemporaryFile("r", prefix="hvdcells-scaling-") as answer:
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-m", "benchmarks.scaling.start", answer.name]
        said = run_to_its_end(command, {**os.environ, "PYTHONPATH": paths}, json.dumps(job), check=False)
        text = answer.read()
    outcome = json.loads(text) if text else {"failed": said.strip()}
    if "user_error" in outcome:
        raise UserError(*outcome["user_error"])
    if "failed" in outcome:
        raise StartFailedError(outcome["failed"])
    return outcome


def run(job: dict[str, Any]) -> Outcome:
    """Start the ranks as `hvdcells train` does, and return what they measured."""
    import cloudpickle
    import psutil
    from pyspark.sql import SparkSession

    import benchmarks
    from benchmarks.scaling.rank import RankJob, measure_on_rank
    from hvdcells.data.dataset import Dataset
    from hvdcells.experiment import Experiment
    from hvdcells.spark.backends import HorovodOnSpark, RankFailedError

    # Machines of a cluster have hvdcells and not the benchmarks: what is run there goes along, and all
    # that a rank knows by name is how to call it.
    cloudpickle.register_pickle_by_value(benchmarks)
    began = psutil.Process().create_time()
    experiment = Experiment.model_validate(job["experiment"])
    backend = HorovodOnSpark(
        job["workers"], job["master"], experiment.communication, job["start_timeout_seconds"], job["conf"]
    )
    rank_job = RankJob(experiment, job["dataset"], began, job["steps"], job["blocks"], job["warmup_steps"])
    dataset = Dataset.open(job["dataset"]) if job["dataset"] else None
    with tempfile.TemporaryDirectory() as logs, backend.ready(dataset):
        session = SparkSession.getActiveSession()
        settings = dict(session.sparkContext.getConf().getAll()) if session else {}
        try:
            ranks = backend.run("operator:call", partial(measure_on_rank, rank_job), logs)
        except RankFailedError as error:
            # The folder goes with this process.
            output = Path(logs) / "workers.log"
            last = output.read_text().splitlines()[-LINES_KEPT:] if output.exists() else []
            raise RankFailedError("\n".join([str(error), *last])) from error
    return {
        "ranks": ranks,
        "spark_settings": {name: settings[name] for name in sorted(settings) if name.startswith(SPARK_SETTINGS)},
        "spark_seconds": (backend.spark_ready or began) - began,
    }


def main() -> None:
    """Be the process of one start: the job on standard input, the answer into the file that is named."""
    from hvdcells.spark.backends import RankFailedError

    try:
        outcome = run(json.load(sys.stdin))
    except UserError as error:
        outcome = {"user_error": [error.given, error.expected, error.remedy]}
    except RankFailedError as error:
        outcome = {"failed": str(error)}
    Path(sys.argv[1]).write_text(json.dumps(outcome))


if __name__ == "__main__":
    main()
