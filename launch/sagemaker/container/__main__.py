"""The entry point of the image: `python -m launch.sagemaker.container train`, or `… process etl SOURCE DATASET`.

The first host drives: one host trains on Spark's local mode, several on a Spark cluster over all of them. Exit code 0
done, 1 failed (the reason is where SageMaker looks for it), 143 stopped by SIGTERM.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path

import psutil

from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.runs.directory import RunDirectory
from hvdcells.runs.lock import DEAD_AFTER_SECONDS, OWNER_NAME
from hvdcells.secrets import without_secrets
from launch.clusters.spark_settings import DISCOVERY_SCRIPT
from launch.clusters.spec import ClusterSpec
from launch.sagemaker.container.commands import CommandFailedError, Commands, StoppedError
from launch.sagemaker.container.contract import ROOT, ROOT_VARIABLE, Container
from launch.sagemaker.container.jobs import TrainingTask, training_task
from launch.sagemaker.container.spark_cluster import lend, master_and_worker, session_words
from launch.sagemaker.metrics import kept_line

STOPPED = 143
KEPT_FILES = ("model.keras", "experiment.json", "run.json", "finished.json", "metrics.jsonl")


def main(arguments: list[str]) -> int:
    """Do what a container was started for; return its exit code."""
    container = Container(Path(os.environ.get(ROOT_VARIABLE, ROOT)))
    is_training = not arguments or arguments[0] == "train"
    try:
        container = Container.read(container.root, os.environ)
        spec = this_cluster(container)
        with Commands(container.environment(spec.num_gpus)) as commands:
            if not is_training and arguments[0] != "process":
                raise UserError(
                    f"the container's command {' '.join(arguments)!r}", "train, or process COMMAND", "correct the job"
                )
            # On every host: what is wrong with the values ends them all at once.
            task = training_task(container, os.environ, spec.num_executors) if is_training else None
            if not container.is_first:
                lend(container, spec, "train" if is_training else "etl", commands.check)
            elif task is not None:
                train(container, spec, commands, task)
            else:
                process(container, spec, commands, arguments[1:])
    except StoppedError:
        print("Stopped. The run keeps its last checkpoint; the same job goes on from there.", flush=True)  # noqa: T201
        return STOPPED
    except CommandFailedError as error:
        container.write_failure(without_secrets(error.said), is_training)
        return 1
    except UserError as error:
        return _fail(container, f"error: {error}", is_training)
    except Exception as error:
        return _fail(container, f"{type(error).__name__}: {error}\n{traceback.format_exc()}", is_training)
    return 0


def train(container: Container, spec: ClusterSpec, commands: Commands, task: TrainingTask) -> None:
    """Train, judge and put the model where SageMaker uploads it from."""
    _wait_for_earlier_owner(task.run, commands)
    if len(container.hosts) == 1:
        _run_all(commands, task.commands([]))
    else:
        with master_and_worker(container, spec, "train"):
            _run_all(commands, task.commands(session_words(container, spec, "train")))
    run = RunDirectory.at(task.run)
    print(kept_line(run.read_metrics(), run.read_json(run.finished)["best_epoch"]), flush=True)  # noqa: T201
    _keep_model(run, container.model)


def process(container: Container, spec: ClusterSpec, commands: Commands, words: list[str]) -> None:
    """Run one command of `hvdcells` on all hosts."""
    if len(container.hosts) == 1:
        commands.run([*words, "--workers", str(max(1, spec.vcpus - 1))])
        return
    with master_and_worker(container, spec, "etl"):
        commands.run([*words, *session_words(container, spec, "etl")])


def this_cluster(container: Container) -> ClusterSpec:
    """Return the cluster that the job's hosts make, all of them such as this one.

    Raises:
        UserError: the hosts are too small.
    """
    return ClusterSpec.of(
        worker_instance="this host",
        num_machines=len(container.hosts),
        vcpus=len(os.sched_getaffinity(0)),
        memory_gib=psutil.virtual_memory().total / 2**30,
        num_gpus=_num_gpus(),
        driver_memory_gib=1,
    )


def _num_gpus() -> int:
    if shutil.which("nvidia-smi") is None:
        return 0
    found = subprocess.run([str(DISCOVERY_SCRIPT)], capture_output=True, text=True, check=True).stdout
    return len(json.loads(found)["addresses"])


def _run_all(commands: Commands, all_words: list[list[str]]) -> None:
    for words in all_words:
        commands.run(words)


def _wait_for_earlier_owner(run: str, commands: Commands) -> None:
    """Wait while a run seems to be another's: a spot machine that was taken may not have told its end.

    One that lives renews its word, and `hvdcells train` then refuses the run.
    """
    owner = storage.join(run, OWNER_NAME)
    deadline = time.monotonic() + DEAD_AFTER_SECONDS + 5
    while time.monotonic() < deadline:
        try:
            word = json.loads(storage.read_text(owner))
        except (FileNotFoundError, ValueError):
            return
        if time.time() - word["renewed"] > DEAD_AFTER_SECONDS:
            return
        commands.check()
        time.sleep(1)


def _keep_model(run: RunDirectory, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = [*KEPT_FILES, *(f"evaluation/{name}" for name in storage.names_in(run.path("evaluation")))]
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(storage.read_bytes(run.path(name)))


def _fail(container: Container, text: str, is_training: bool) -> int:
    told = without_secrets(text)
    print(told, file=sys.stderr, flush=True)  # noqa: T201
    container.write_failure(told, is_training)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
