"""One method run once: a process of its own, its log, its memory, its end."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.methods.catalogue import Method
from benchmarks.methods.environments import EnvironmentNotBuiltError, interpreter_of
from hvdcells.spark.session import use_bundled_java

ROOT = Path(__file__).parents[2]
POLL_SECONDS = 2.0
MARK = "HVDCELLS_METHOD"
"""A variable by which all processes of a run are found, whoever their parent is."""


@dataclass(frozen=True)
class Ending:
    """How a run went."""

    began: float
    """`time.time()` at which its process was started."""
    seconds: float
    peak_memory_bytes: int
    """Of all its processes together, what they share counted once (PSS)."""
    reason: str | None
    """Why it failed; None if it did not."""
    was_cut: bool = False
    """Its time was over."""


def run_once(
    method: Method, task: Path, outcome: Path, workers: int, environments: Path, limit_seconds: float, is_cut: bool
) -> Ending:
    """Run a method's adapter to its end; its output is `log` in the outcome's folder.

    Args:
        method: which.
        task: folder of `preparing.prepare`.
        outcome: a new folder.
        workers: each of a distributed method has its share of the cores.
        environments: where environments are kept; a missing one is built, which does not count.
        limit_seconds: the run is ended then.
        is_cut: whether that is no failure.
    """
    outcome.mkdir(parents=True)
    log = outcome / "log"
    try:
        python = interpreter_of(method.environment, environments, log)
    except EnvironmentNotBuiltError as error:
        return Ending(time.time(), 0.0, 0, str(error))
    command = [python, "-m", f"benchmarks.methods.adapters.{method.adapter}", task, outcome, *method.arguments]
    mark, began = f"{outcome}", time.time()
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*map(str, command)],
            cwd=outcome,
            env=_environment(method, python, workers, mark),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    over = threading.Event()
    memory = _MemoryWatch(mark, over)
    memory.start()
    was_cut = False
    try:
        process.wait(timeout=limit_seconds)
    except subprocess.TimeoutExpired:
        was_cut = True
    finally:
        seconds = time.time() - began
        over.set()
        memory.join()
        _end_all(mark)
        process.wait()
    reason = None
    if was_cut and not is_cut:
        reason = f"not done after {limit_seconds:g} s"
    elif not was_cut and process.returncode:
        reason = _last_error(log, process.returncode)
    elif not was_cut and not (outcome / "test.json").exists():
        reason = "it ended without test predictions"
    return Ending(began, seconds, memory.peak_bytes, reason, was_cut)


def _environment(method: Method, python: Path, workers: int, mark: str) -> dict[str, str]:
    use_bundled_java()
    cores = len(os.sched_getaffinity(0))
    threads = max(1, cores // workers) if method.is_distributed else cores
    return {
        **os.environ,
        MARK: mark,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "PYSPARK_PYTHON": str(python),
        "PYSPARK_DRIVER_PYTHON": str(python),
        # In environments of their own, TensorFlow is so old that its Keras is the right one.
        **({"TF_USE_LEGACY_KERAS": "1"} if method.environment is None else {}),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # Every worker has its share of the cores: without it each would start threads for all of them.
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "OMP_NUM_THREADS": str(threads),
        "CUDA_VISIBLE_DEVICES": "-1",
    }


class _MemoryWatch(threading.Thread):
    def __init__(self, mark: str, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self._mark, self._over = mark, over
        self.peak_bytes = 0

    def run(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            self.peak_bytes = max(self.peak_bytes, sum(_shared_once(process) for process in _marked(self._mark)))


def _marked(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                found.append(process)
    return found


def _shared_once(process: psutil.Process) -> int:
    """Return a process's proportional set size in bytes; 0 if it is gone."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) * 1024
    return 0


def _end_all(mark: str) -> None:
    """End what a run has left, as parameter servers and Java do."""
    for wanted in (signal.SIGTERM, signal.SIGKILL):
        left = _marked(mark)
        for process in left:
            with suppress(psutil.Error):
                process.send_signal(wanted)
        _, alive = psutil.wait_procs(left, timeout=10)
        if not alive:
            return


def _last_error(log: Path, status: int) -> str:
    """Return the line that says why, out of what a run has printed."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    named = [line for line in lines if _looks_like_an_error(line)]
    return (named[-1] if named else lines[-1] if lines else "no word of why")[:400] + f" (exit status {status})"


def _looks_like_an_error(line: str) -> bool:
    name = line.split(":", 1)[0].rsplit(".", 1)[-1]
    return ":" in line and " " not in name and name.endswith(("Error", "Exception"))


def describe_versions(method: Method) -> Mapping[str, str]:
    """Return what the method's environment pins, the packages that matter alone."""
    if method.environment is None:
        return {}
    wanted = ("tensorflow", "pyspark", "horovod", "elephas", "bigdl-dllib-spark3", "keras")
    pins = dict(
        line.strip().split("==") for line in method.environment.requirements.read_text().splitlines() if "==" in line
    )
    return {name: pins[name] for name in wanted if name in pins} | {"python": method.environment.python}
