"""Horovod on Spark: one process per Spark task, gradients reduced over a ring at every step."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hvdcells import storage
from hvdcells.data.dataset import Dataset
from hvdcells.errors import UserError
from hvdcells.experiment import Communication
from hvdcells.experiment.horovod_settings import THREADS_VARIABLE, decide
from hvdcells.runs import heartbeat
from hvdcells.runs.heartbeat import VARIABLE
from hvdcells.spark.backends.base import WORKERS_LOG, forget_failures, note_failure, raise_noted_failure
from hvdcells.spark.backends.entry import call_entry
from hvdcells.spark.backends.rank_server import rank_executable
from hvdcells.spark.backends.stall import WatchedRanks, output_of, stall_environment
from hvdcells.spark.horovod_changes import (
    WorkerOutput,
    applied,
    carry_token,
    loopback_names,
    refuse_other_release,
    run_supervised,
)
from hvdcells.spark.preflight.readiness import refuse_executors, refuse_settings
from hvdcells.spark.session import local_slots, master_of, spark_session
from hvdcells.spark.slots import wait_for_slots
from hvdcells.spark.spark_internals import num_slots

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

RANK_ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    # TensorFlow imports the Keras it is told to use. Our models are tf_keras models; Keras 3 would add its own
    # import and those of scikit-learn, matplotlib and pandas, together half of the whole (measured).
    "TF_USE_LEGACY_KERAS": "1",
}
"""What a rank's process starts with, unless the driver's environment says otherwise."""
FORWARDED_PREFIXES = ("HOROVOD_", "NCCL_", "TF_", "HVDCELLS_")
"""Of the driver's variables that go to ranks on other machines."""
RANK_MODULES = ("hvdcells.rank.train", "hvdcells.rank.evaluate", "horovod.spark.task")
"""What ranks import before they work; the rank server does it for them."""
RANK_SERVER_VARIABLE = "HVDCELLS_RANK_SERVER"
"""Set to 0, ranks on this machine are started by Horovod alone, as on a cluster."""
STALL_SECONDS = 60
"""After which ranks that stand still, or one that says nothing, end a job."""
GROWTH_SECONDS = 2.0
"""Between two looks whether there are slots for more workers."""
SHORTEST_START_SECONDS = 60
"""What Horovod has at least for its own start, however long Spark's slots have taken."""


@dataclass(frozen=True)
class _Ready:
    """What `HorovodOnSpark.ready` holds."""

    spark: "SparkSession"
    executable: str | None
    """What ranks are started with; None for Spark's own Python."""
    began: float
    """`time.monotonic()` at which the wait for Spark began."""


class Growth:
    """Tells a job of fewer workers than are wanted when there are slots for more."""

    def __init__(self, most: int, word: str) -> None:
        self._most, self._word = most, word
        self._looked, self._is_told = time.monotonic(), False

    def look(self, spark: "SparkSession", num_workers: int) -> None:
        """Ask Spark, every few seconds, until there are some."""
        if self._is_told or num_workers >= self._most or time.monotonic() - self._looked < GROWTH_SECONDS:
            return
        self._looked = time.monotonic()
        slots, busy = num_slots(spark)
        if slots > busy >= num_workers:
            storage.write_text(self._word, json.dumps({"free slots": slots - busy}))
            self._is_told = True


class HorovodOnSpark:
    """Starts `num_workers` ranks through `horovod.spark.run`.

    Args:
        num_workers: the world size; each takes one Spark task slot.
        master: Spark master for a session made here; None for this machine. An active session is borrowed.
        communication: Horovod options of the experiment.
        start_timeout_seconds: how long to wait for Spark to give all slots and for the ranks to find each other.
        conf: Spark settings for a session made here.
        stall_seconds: after which a job ends whose ranks do not move, or one of which says nothing; 0 for never.
    """

    def __init__(
        self,
        num_workers: int = 2,
        master: str | None = None,
        communication: Communication | None = None,
        start_timeout_seconds: int = 600,
        conf: Mapping[str, str] | None = None,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self.stall_seconds = stall_seconds
        self.num_workers = num_workers
        self.master = master
        self.communication = communication or Communication()
        self.start_timeout_seconds = start_timeout_seconds
        self.conf = conf or {}
        self.spark_ready: float | None = None
        """`time.time()` at which the last run's Spark session was there."""
        self._ready: _Ready | None = None
        self._growth: Growth | None = None

    def check(self) -> None:
        """Refuse a number of workers for which the Spark master has no slots, and a Horovod that we do not know."""
        from pyspark.sql import SparkSession

        refuse_other_release()
        if self.num_workers < 1:
            raise UserError(f"{self.num_workers} workers", "at least 1", "correct --workers")
        active = SparkSession.getActiveSession()
        master = self.master or (active.sparkContext.master if active else None)
        slots = local_slots(master) if master else None
        if slots is not None and self.num_workers > slots:
            raise UserError(
                f"{self.num_workers} workers on the Spark master {master!r}, which runs {slots} tasks at once",
                "a slot for each worker, since all must run at the same time",
                f"use --workers {slots} or fewer, or a master with more slots, such as local[{self.num_workers}]",
            )

    @contextmanager
    def ready(self, dataset: Dataset | None = None, run: str | None = None) -> Iterator[None]:
        """Hold a Spark session with a free slot for each worker; see `Backend.ready`."""
        self.check()
        began = time.monotonic()
        serve = self._is_local and os.environ.get(RANK_SERVER_VARIABLE) != "0"
        executable = self._rank_executable() if serve else None
        with spark_session(self.master, self.num_workers, self.conf) as spark:
            self.spark_ready = time.time()
            refuse_settings(spark)
            wait_for_slots(spark, self.num_workers, self.start_timeout_seconds)
            refuse_executors(spark, self.num_workers, dataset, run)
            self._ready = _Ready(spark, executable, began)
            try:
                yield
            finally:
                self._ready = None

    def run(self, entry: str, argument: Any, logs: str) -> list[Any]:
        """Call the entry on every rank; see `Backend.run`."""
        if self._ready is None:
            with self.ready():
                return self.run(entry, argument, logs)
        forget_failures(logs)
        return self._run(self._ready, entry, argument, logs)

    def wait_again(self, most: int, fewest: int, seconds: float | None = None) -> None:
        """Wait for slots in the same session; see `Backend.wait_again`."""
        if self._ready is None:
            return
        began = time.monotonic()
        limit = self.start_timeout_seconds if seconds is None else seconds
        self.num_workers = wait_for_slots(self._ready.spark, most, limit, fewest)
        executable = self._ready.executable and self._rank_executable()  # its server may have been lost too
        self._ready = _Ready(self._ready.spark, executable, began)

    @contextmanager
    def growing(self, most: int, word: str) -> Iterator[None]:
        """Inside the block, a job of fewer than `most` workers is told when there are slots for more.

        Args:
            most: workers that are wanted.
            word: location of the file that tells it.
        """
        storage.remove(word)
        self._growth = Growth(most, word)
        try:
            yield
        finally:
            self._growth = None
            storage.remove(word)

    def _rank_executable(self) -> str:
        return rank_executable(RANK_MODULES, {**RANK_ENVIRONMENT, **os.environ})

    @property
    def _is_local(self) -> bool:
        """Whether ranks run on this machine, as far as is known before Spark runs."""
        from pyspark.sql import SparkSession

        active = SparkSession.getActiveSession()
        master = active.sparkContext.master if active else self.master
        return "SPARK_ENV_LOADED" not in os.environ if master is None else master.startswith("local")

    def _run(self, ready: "_Ready", entry: str, argument: Any, logs: str) -> list[Any]:
        import horovod.spark

        spark, waited = ready.spark, time.monotonic() - ready.began
        conf = spark.sparkContext.getConf()  # the session's own would load Spark SQL: half a second
        has_gpus = float(conf.get("spark.task.resource.gpu.amount", "0")) > 0
        settings = decide(self.communication, "gpu" if has_gpus else "cpu", cores_per_rank=1)
        is_local = master_of(spark).startswith("local")
        environment = {**rank_environment(os.environ, is_local), **settings.environment()}
        task_cpus = conf.get("spark.task.cpus")
        if task_cpus is not None:
            environment[THREADS_VARIABLE] = task_cpus
        spoken = stall_environment(self.stall_seconds)
        environment = {**spoken, **environment, VARIABLE: spoken[VARIABLE]}
        watched = WatchedRanks(self.num_workers, self.stall_seconds)
        worker_log = WorkerOutput(shown=False, heard=watched.hear)
        options = {
            "args": (entry, argument, logs),
            "num_proc": self.num_workers,
            "env": environment,
            # What Spark's own Python workers run: the driver's path is not that of another machine.
            "executable": ready.executable or spark.sparkContext.pythonExec,
            "use_gloo": True,
            # Nobody elsewhere has to reach what is on one machine.
            "nics": loopback_names() or None if is_local else None,
            "start_timeout": max(SHORTEST_START_SECONDS, int(self.start_timeout_seconds - waited)),
            "stdout": WorkerOutput(shown=True),
            "stderr": worker_log,
            "verbose": 0,
        }

        def look() -> None:
            watched.look(ending, worker_log)
            if self._growth is not None:
                self._growth.look(spark, self.num_workers)

        try:
            with applied(is_local) as ending:
                results: list[Any] = run_supervised(
                    lambda: horovod.spark.run(_run_noting_failure, **options),
                    ending,
                    cancel=spark.sparkContext.cancelJobGroup,
                    look=look,
                )
            return results
        except Exception as error:
            if ending.signal is not None:
                raise KeyboardInterrupt(ending.signal) from None
            if worker_log.text():
                with suppress(OSError):
                    storage.write_text(storage.join(logs, WORKERS_LOG), worker_log.text())
            watched.raise_stall(logs, error)
            said = worker_log.text()
            raise_noted_failure(logs, watched.describe(ending), error, output_of(said, ending.rank), said)


def rank_environment(environ: Mapping[str, str], is_local: bool) -> dict[str, str]:
    """Return the variables of the driver that its ranks start with.

    On another machine these are added to those of the Spark task, which knows its own paths, credentials and GPUs.
    """
    kept = environ if is_local else {key: environ[key] for key in environ if key.startswith(FORWARDED_PREFIXES)}
    return {**RANK_ENVIRONMENT, **kept}


def _run_noting_failure(entry: str, argument: Any, logs: str) -> Any:
    """What every rank runs."""
    heartbeat.begin()
    carry_token()
    try:
        return call_entry(entry, argument)
    except BaseException as error:
        note_failure(logs, os.environ.get("HOROVOD_RANK", "unknown"), error)
        raise
