"""Commands in processes of their own, for tests that kill: every process that comes of one can be found by a mark."""

import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.suite.leftovers import variables_of

ROOT = Path(__file__).parent.parent
MARK = "HVDCELLS_TEST_MARK"
ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "HOROVOD_GLOO_TIMEOUT_SECONDS": "600",  # a machine that is suspended during a test is no failure
}


class Command:
    """`hvdcells` with some arguments, running; its output is read line by line."""

    def __init__(self, *arguments: object, **environment: str) -> None:
        self._mark = uuid.uuid4().hex
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "launch.cli", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT, **environment, MARK: self._mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a signal for this command is none for the test
        )
        assert self.process.stdout is not None
        self._stdout = self.process.stdout

    def read_until(self, words: str) -> None:
        """Read the output up to a line with these words."""
        for line in self._stdout:
            self.lines.append(line)
            if words in line:
                return
        raise AssertionError(f"no line with {words!r} in:\n{self.output}")

    def read_to_the_end(self) -> int:
        """Read what is left of the output; return the exit code, which is negative for a signal."""
        self.lines += self._stdout
        return self.process.wait()

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def processes(self) -> list[psutil.Process]:
        """Return all living processes that came of this command, whoever their parent is now."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def javas(self) -> list[psutil.Process]:
        """Return Spark's Java processes; what else comes of a command may be gone while one looks at it."""
        found = []
        for process in self.processes():
            with suppress(psutil.Error):
                if process.name() == "java":
                    found.append(process)
        return found

    def ranks(self) -> list[psutil.Process]:
        """Return the processes that train: forked from a rank server, or started by Horovod alone."""
        found = []
        for process in self.processes():
            with suppress(psutil.Error):
                words = " ".join(process.cmdline())
                parent = process.parent()
                parents_words = " ".join(parent.cmdline()) if parent else ""
                is_forked = "rank_server" in words and "rank_server" in parents_words
                if is_forked or ("-m horovod.spark.task.gloo_exec_fn" in words and "rank_client" not in words):
                    found.append(process)
        return [process for process in found if Path(process.exe()).name.startswith("python")]


@contextmanager
def command(*arguments: object, **environment: str) -> Iterator[Command]:
    """Run `hvdcells` in the block; whatever of it lives after the block is killed.

    It has a temporary folder of its own, since what is killed leaves its files: a rank that saves a model, Java, and
    the rank server, which is killed here before it can clear away for its driver.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        running = Command(*arguments, **{**variables_of(Path(folder)), **environment})
        try:
            yield running
        finally:
            alive = running.processes()
            for process in alive:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)
            running._stdout.close()
            running.process.wait()
            psutil.wait_procs(alive, timeout=60)
