"""How much of two independent processes' speed two communicating workers keep.

    python -m benchmarks.communication --out FILE.json

Four cases take turns, five rounds, each in fresh processes with one compute thread each: one worker; two
processes at once that do not communicate (the limit of this machine); two workers of Horovod on Spark with the
project's own step and default settings; two workers of MultiWorkerMirroredStrategy through
spark-tensorflow-distributor. The same models, batch per rank, number of steps and input in memory. Then one process
measures what the split of a step's time into its parts costs.
"""

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median, quantiles
from typing import Annotated

import typer

from benchmarks import communication_worker as worker
from benchmarks.harness import OutOption, Sample, environment, print_samples, ratio_of, write_result
from hvdcells.experiment import Communication
from hvdcells.experiment.horovod_settings import decide
from hvdcells.spark.backends import HorovodOnSpark
from hvdcells.spark.session import spark_session

Rates = dict[str, float]
"""Images per second over all workers, by workload."""


def independent(num_processes: int, quick: bool) -> Rates:
    """Measure processes that do not communicate, all at once."""
    with (
        tempfile.TemporaryDirectory() as meeting_place,
        ProcessPoolExecutor(num_processes, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        futures = [
            pool.submit(worker.run_independent, number, num_processes, meeting_place, quick)
            for number in range(num_processes)
        ]
        return _total([future.result() for future in futures])


def horovod_on_spark(num_workers: int, quick: bool) -> Rates:
    """Measure ranks of Horovod on Spark with the default settings."""
    with tempfile.TemporaryDirectory() as logs:
        return _total(HorovodOnSpark(num_workers).run("benchmarks.communication_worker:run_horovod_rank", quick, logs))


def cost_of_timing(quick: bool) -> dict[str, list[float]]:
    """Measure what it costs to split a step's time into its parts."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(worker.cost_of_timing, quick).result()


def mirrored(num_workers: int, quick: bool) -> Rates:
    """Measure MultiWorkerMirroredStrategy; its steps are synchronous, so rank 0 speaks for all."""
    from spark_tensorflow_distributor import MirroredStrategyRunner

    runner = MirroredStrategyRunner(num_slots=num_workers, use_gpu=False, use_custom_strategy=True)
    rates = runner.run(worker.run_mirrored_worker, quick=quick)
    return {name: rate * num_workers for name, rate in rates.items()}


def _total(rates: list[Rates]) -> Rates:
    return {name: sum(rate[name] for rate in rates) for name in rates[0]}


def measure(rounds: int, quick: bool) -> dict[str, dict[str, Sample]]:
    """Run all cases in turn; return per workload the sample of each case."""
    cases: dict[str, Callable[[], Rates]] = {
        "one_worker": lambda: independent(1, quick),
        "independent": lambda: independent(2, quick),
        "horovod": lambda: horovod_on_spark(2, quick),
        "mirrored": lambda: mirrored(2, quick),
    }
    names = list(cases)
    values: dict[str, dict[str, list[float]]] = {
        each.name: {name: [] for name in names} for each in worker.workloads(quick)
    }
    for number in range(rounds):
        # Every process is fresh and warms up by itself; each round begins with another case.
        for name in names[number % len(names) :] + names[: number % len(names)]:
            rates = cases[name]()
            typer.echo(
                f"round {number + 1}/{rounds}  {name:<12} " + "  ".join(f"{k} {v:.1f}" for k, v in rates.items())
            )
            for workload, rate in rates.items():
                values[workload][name].append(rate)
    return {w: {name: Sample(tuple(v)) for name, v in by_case.items()} for w, by_case in values.items()}


def main(
    out: Annotated[Path, OutOption],
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    quick: Annotated[
        bool, typer.Option("--quick", help="A run of seconds that shows that all of it starts; measures nothing.")
    ] = False,
) -> None:
    """Measure communication efficiency against independent processes and MultiWorkerMirroredStrategy."""
    # The same Keras everywhere, and the distributor's workers find the project.
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    # Fresh processes: in a used one, MultiWorkerMirroredStrategy can hang.
    with spark_session(slots=2, conf={"spark.python.worker.reuse": "false"}) as spark:
        samples = measure(rounds, quick)
        master = spark.sparkContext.master
    timing = cost_of_timing(quick)
    models = {}
    for workload in worker.workloads(quick):
        by_case = samples[workload.name]
        print_samples(workload.name, "images/s", by_case)
        models[workload.name] = {
            "communication_efficiency": ratio_of(by_case, "horovod", "independent"),
            "ratio_to_mirrored": ratio_of(by_case, "horovod", "mirrored"),
            "scaling_efficiency": round(by_case["horovod"].median / (2 * by_case["one_worker"].median), 3),
            "cost_of_timing_a_step": round(median(timing[workload.name]), 4),
            "cost_of_timing_a_step_quartiles": [round(q, 4) for q in quantiles(timing[workload.name])[::2]],
            "images_per_second": {name: sample.to_json() for name, sample in by_case.items()},
        }
        typer.echo({key: value for key, value in models[workload.name].items() if key != "images_per_second"})
    settings = decide(Communication(), "cpu", cores_per_rank=1)
    write_result(
        out,
        {
            "benchmark": "communication",
            "models": models,
            "batch_per_rank": worker.BATCH_PER_RANK,
            "rounds": rounds,
            "quick": quick,
            "spark_master": master,
            "horovod_settings": vars(settings),
            "environment": environment(("horovod", "tensorflow", "tf-keras", "spark-tensorflow-distributor")),
        },
    )


if __name__ == "__main__":
    typer.run(main)
