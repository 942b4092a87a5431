"""The suite has a temporary folder of its own, in which nothing may be left at its end."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import psutil
import pytest
from xdist.workermanage import NodeManager

from tests.suite.spark_classes import QUICK, java_options

END_SECONDS = 120
"""The longest that workers of pytest-xdist may take to end, and after them other processes of the suite, as Java."""
OF_KILLED = "__autograph_generated_file"
"""TensorFlow writes such files for what it converts and removes them as its process ends, which one that is killed does
not, and tests kill ranks. They are told, and fail nothing."""
FOLDER, LEFT = pytest.StashKey[Path](), pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Let all that tests start, Java too, put its temporary files into a folder of this run.

    It stands beside pytest's own, so that what other programs of this machine write is not taken for ours.
    """
    if hasattr(config, "workerinput"):
        return
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    # It kills workers after ten seconds, and what they remove as they end, as TensorFlow its files, would be left.
    NodeManager.EXIT_TIMEOUT = END_SECONDS
    folder = config.stash[FOLDER] = Path(tempfile.mkdtemp(prefix="hvdcells-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    tempfile.tempdir = str(folder)
    os.environ.update(variables_of(folder))


def variables_of(folder: Path) -> dict[str, str]:
    """Return environment variables for processes whose temporary files, Java's too, shall lie in a folder.

    Java that is killed cannot remove its own: a test that does so gives it a folder of the test.
    """
    java = f"{java_options()} -Djava.io.tmpdir={folder}"
    named = {"TMPDIR": str(folder), "SPARK_LOCAL_DIRS": str(folder), "SPARK_LAUNCHER_OPTS": QUICK}
    return {**named, "SPARK_SUBMIT_OPTS": java, "SPARK_DAEMON_JAVA_OPTS": java}


@pytest.hookimpl(trylast=True)  # after the workers of pytest-xdist have ended
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if anything is left. Without workers this process still holds what it made."""
    folder = session.config.stash.get(FOLDER, None)
    if folder is None or session.config.getoption("dist", "no") == "no":
        return
    _, alive = psutil.wait_procs(_processes_that_use(folder), timeout=END_SECONDS)
    left = sorted(f"{path.name}: {', '.join(_names_in(path))}" for path in folder.iterdir())
    session.config.stash[LEFT] = left + [f"process {each.pid}: {' '.join(each.cmdline())}" for each in alive]
    if any(not each.startswith(OF_KILLED) for each in session.config.stash[LEFT]):
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if left := config.stash.get(LEFT, []):
        terminalreporter.section(f"left by the suite in {config.stash[FOLDER]}", red=True)
        for each in left:
            terminalreporter.write_line(each)


def _names_in(path: Path) -> list[str]:
    """What lies in a folder tells who has left it."""
    return sorted(each.name for each in path.iterdir())[:5] if path.is_dir() else []


def _processes_that_use(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            uses = process.environ().get("TMPDIR") == str(folder) and process.pid != os.getpid()
        except psutil.Error:
            continue
        if uses:
            found.append(process)
    return found
