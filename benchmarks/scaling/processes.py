"""Child processes that end with the process that wants them, whatever way that one ends."""

import ctypes
import signal
import subprocess
from collections.abc import Mapping, Sequence

PR_SET_PDEATHSIG = 1
LINES_SHOWN = 30


def run_to_its_end(command: Sequence[str], environment: Mapping[str, str], given: str = "", check: bool = True) -> str:
    """Run a command and return what it said, on both of its outputs.

    Args:
        command: the command with its arguments.
        environment: its variables.
        given: its standard input.
        check: whether an exit code other than 0 is an error.

    Raises:
        RuntimeError: it failed; the message holds the end of what it said.
    """
    libc = ctypes.CDLL(None)  # before the fork, after which nothing should be loaded
    child = subprocess.Popen(
        command,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
    )
    try:
        said, _ = child.communicate(given)
    finally:
        child.kill()
        child.wait()
    if check and child.returncode:
        last = "\n".join(said.splitlines()[-LINES_SHOWN:])
        raise RuntimeError(f"{' '.join(command)} ended with exit code {child.returncode}:\n{last}")
    return said
