"""The temporary folder of a driver's Spark: all in one place, with its owner's name, for a later start to clear.

A driver that is killed removes nothing. Spark's own folders (`spark-…`, `blockmgr-…`) do not say whose they are, and
another application's must not be touched: ours lie inside a folder that names a process.
"""

import atexit
import json
import os
import shutil
import stat
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

from hvdcells.spark.spark_internals import java_process

PREFIX = "hvdcells-spark-"
OWNER_NAME = "owner.json"
JAVA_END_SECONDS = 10
_own: list[Path] = []


def own_folder() -> Path:
    """Return this process's folder, made at the first call; it goes when the process ends, after its Java."""
    if not _own or not _own[0].is_dir():
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        word = {"pid": os.getpid(), "began": psutil.Process().create_time()}
        (folder / OWNER_NAME).write_text(json.dumps(word))
        _own[:] = [folder]
        atexit.register(_remove, folder, os.getpid())
    return _own[0]


def clear_abandoned() -> list[Path]:
    """Remove the folders of processes that are gone; return them. What is not ours by name, user and word is left."""
    removed = []
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            status = folder.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
                continue
            word = json.loads((folder / OWNER_NAME).read_text())
            if not _lives(int(word["pid"]), float(word["began"])):
                shutil.rmtree(folder, ignore_errors=True)
                removed.append(folder)
    return removed


def _lives(pid: int, began: float) -> bool:
    try:
        process = psutil.Process(pid)
        return process.create_time() == began and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _remove(folder: Path, pid: int) -> None:
    """Let Java end, which writes there until then, and remove the folder; not in a process forked from the owner."""
    if os.getpid() != pid:
        return
    java = java_process()
    if java is not None and java.stdin is not None:
        with suppress(OSError, subprocess.TimeoutExpired):
            java.stdin.close()  # what it ends at
            java.wait(JAVA_END_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
