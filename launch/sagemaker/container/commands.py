"""Commands that a container runs one after the other, and the signal that stops them."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import IO, Any

KEPT_LINES = 60


class CommandFailedError(Exception):
    """A command of `hvdcells` ended with a failure; its message is what it said last."""

    def __init__(self, words: Sequence[str], exit_code: int, said: str) -> None:
        super().__init__(f"hvdcells {words[0]} ended with exit code {exit_code}: {said}")
        self.exit_code = exit_code
        self.said = said


class StoppedError(Exception):
    """SageMaker has asked the container to end."""


class Commands:
    """Runs commands, and hands on SIGTERM: SageMaker sends it when a job is stopped or its spot machine is taken.

    It waits for two minutes before it kills. `hvdcells train` ends its ranks and keeps the last checkpoint, which is
    whole at any time.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**os.environ, **environment}
        self._running: subprocess.Popen[bytes] | None = None
        self.is_stopped = False

    def __enter__(self) -> "Commands":
        self._kept = signal.signal(signal.SIGTERM, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._kept)

    def _stop(self, number: int, frame: object) -> None:
        self.is_stopped = True
        if self._running is not None:
            with contextlib.suppress(ProcessLookupError):
                self._running.send_signal(number)

    def run(self, words: Sequence[str]) -> None:
        """Run `hvdcells` with these arguments; what it prints goes to the container's own output.

        Raises:
            StoppedError: SIGTERM has come.
            CommandFailedError: it failed.
        """
        self.check()
        self._running = process = subprocess.Popen(
            [sys.executable, "-m", "launch.cli", *words], env=self._environment, stderr=subprocess.PIPE
        )
        if self.is_stopped:  # between the check and the start
            process.terminate()
        last: list[str] = []
        reading = threading.Thread(target=_hand_on, args=(process.stderr, last), daemon=True)
        reading.start()
        exit_code = process.wait()
        reading.join(timeout=5)  # a process that outlives the command may hold its standard error
        self._running = None
        self.check()
        if exit_code != 0:
            raise CommandFailedError(words, exit_code, _gist("".join(last), exit_code))

    def check(self) -> None:
        """Raise `StoppedError` if SIGTERM has come."""
        if self.is_stopped:
            raise StoppedError


def _hand_on(source: IO[bytes], last: list[str]) -> None:
    for line in source:
        sys.stderr.write(text := line.decode(errors="replace"))
        sys.stderr.flush()
        last.append(text)
        del last[:-KEPT_LINES]


def _gist(text: str, exit_code: int) -> str:
    """Return a user's error as it was told; of a trace its last line first, which names the error."""
    lines = text.strip().splitlines()
    starts: list[Any] = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    if starts:
        return "\n".join(lines[starts[-1] :])
    if exit_code < 0:
        return "\n".join([f"it was killed by {signal.Signals(-exit_code).name}", *lines[-5:]])
    return "\n".join([*lines[-1:], *lines[:-1]]) if lines else "it said nothing"
