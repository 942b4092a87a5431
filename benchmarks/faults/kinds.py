"""The kinds of faults: what each does to a command that runs, or to what it reads, and what a message of it names."""

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from benchmarks.faults.stages import Bench
from tests.processes import Command

Victims = Callable[[Command], list[psutil.Process]]
SMALL_DISK_MB = 48


class NobodyThereError(Exception):
    """The process that the fault was meant for was not there at that moment."""


@dataclass(frozen=True)
class Kind:
    """One kind of fault."""

    stages: tuple[str, ...]
    """At which it can happen."""
    told: str
    """Regular expression of which the message of a command that it ends must hold one."""
    strike: Callable[[Command, Path, random.Random], None] | None = None
    """Done to the command at the fault's moment."""
    damage: Callable[[Bench, Path, random.Random], Callable[[], None]] | None = None
    """Done before the command, to what it reads or to an earlier part of its work; returns what mends it."""
    place: Callable[[Path], AbstractContextManager[Callable[[], None]]] | None = None
    """Makes the folder in which the command writes; what it yields mends the fault before the next command."""
    is_told_by_exit: bool = False
    """Whether the exit code alone tells it, as of a driver that was killed."""


def driver(running: Command) -> list[psutil.Process]:
    """Return the command's own process."""
    return [psutil.Process(running.process.pid)]


def tasks(running: Command) -> list[psutil.Process]:
    """Return the Python workers of Spark's tasks, without the one that forks them."""
    found = []
    for process in running.processes():
        with suppress(psutil.Error):
            parent = process.parent()
            if parent and all("pyspark.daemon" in each.cmdline() for each in (process, parent)):
                found.append(process)
    return found


def sends(
    number: signal.Signals, victims: Victims, then: float | None = None
) -> Callable[[Command, Path, random.Random], None]:
    """Return a strike that sends a signal to one of some processes, and SIGCONT some seconds later if so told."""

    def strike(running: Command, _: Path, rng: random.Random) -> None:
        found = sorted(victims(running), key=lambda process: process.pid)
        if not found:
            raise NobodyThereError
        victim = rng.choice(found)
        with suppress(psutil.NoSuchProcess):
            victim.send_signal(number)
            if then is not None:
                time.sleep(then)
                victim.send_signal(signal.SIGCONT)

    return strike


@contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[], None]]:
    """Mount a small file system that can be filled or made read-only, and is mended by what is yielded."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_MB}m", "hvdcells-faults", folder], check=True)

    def mend() -> None:
        subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
        (folder / "balloon").unlink(missing_ok=True)

    try:
        yield mend
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(_running: Command, disk: Path, _rng: random.Random) -> None:
    """Fill the small disk to its last byte."""
    with suppress(OSError), (disk / "balloon").open("wb") as balloon:
        while True:
            balloon.write(bytes(1 << 16))
            balloon.flush()


def make_read_only(_running: Command, disk: Path, _rng: random.Random) -> None:
    """Remount the small disk read-only; where files are open for writing, it stays as it is."""
    done = subprocess.run(["mount", "-o", "remount,ro", disk], capture_output=True)
    if done.returncode != 0:
        raise NobodyThereError


def flips_bytes(
    pattern: str, of: Callable[[Bench, Path], Path]
) -> Callable[[Bench, Path, random.Random], Callable[[], None]]:
    """Return a damage: bytes of a file changed, or its end cut off; the file is put back by what it returns."""

    def damage(bench: Bench, out: Path, rng: random.Random) -> Callable[[], None]:
        found = sorted(of(bench, out).rglob(pattern))
        if not found:
            raise NobodyThereError
        file = rng.choice(found)
        content = file.read_bytes()
        if rng.random() < 0.5:
            changed = content[: rng.randrange(len(content))]
        else:
            place = rng.randrange(len(content))
            changed = content[:place] + bytes([content[place] ^ (1 << rng.randrange(8))]) + content[place + 1 :]
        file.write_bytes(changed)
        return partial(_write, file, content)

    return damage


def _write(file: Path, content: bytes) -> None:
    file.write_bytes(content)


def damages_checkpoint(bench: Bench, out: Path, rng: random.Random) -> Callable[[], None]:
    """Leave a run that was stopped, with the last of its checkpoints damaged; what mends it deletes that one."""
    shutil.copytree(bench.run, out)
    (out / "finished.json").unlink()
    flips_bytes("epoch-*.npz", lambda _bench, place: place / "checkpoints")(bench, out, rng)

    def mend() -> None:
        shutil.rmtree(out / "checkpoints")

    return mend


KINDS: dict[str, Kind] = {
    "SIGKILL driver": Kind(
        ("etl", "train", "evaluate", "predict"), "", sends(signal.SIGKILL, driver), is_told_by_exit=True
    ),
    "SIGTERM driver": Kind(("etl", "train", "evaluate", "predict"), r"[Ss]topped|^$", sends(signal.SIGTERM, driver)),
    "SIGINT driver": Kind(("etl", "train", "evaluate", "predict"), r"[Ss]topped|^$", sends(signal.SIGINT, driver)),
    "SIGHUP driver": Kind(("etl", "train", "evaluate", "predict"), r"[Ss]topped|^$", sends(signal.SIGHUP, driver)),
    "driver suspended": Kind(("etl", "train", "predict"), "", sends(signal.SIGSTOP, driver, then=5)),
    "SIGKILL java": Kind(("etl", "train"), r"Java", sends(signal.SIGKILL, Command.javas)),
    "SIGTERM java": Kind(("etl", "train"), r"Java|Spark", sends(signal.SIGTERM, Command.javas)),
    "SIGKILL task": Kind(("etl", "train"), r"Spark|task|rank|worker", sends(signal.SIGKILL, tasks)),
    "SIGTERM task": Kind(("etl", "train"), r"Spark|task|rank|worker", sends(signal.SIGTERM, tasks)),
    "SIGKILL rank": Kind(("train",), r"rank \d was killed by SIGKILL", sends(signal.SIGKILL, Command.ranks)),
    "SIGTERM rank": Kind(("train",), r"SIGTERM", sends(signal.SIGTERM, Command.ranks)),
    "SIGSTOP rank": Kind(("train",), r"stand still", sends(signal.SIGSTOP, Command.ranks)),
    "disk full": Kind(("etl", "train"), r"No space left", fill, place=small_disk),
    "read-only disk": Kind(("etl", "train"), r"Read-only", make_read_only, place=small_disk),
    "damaged image": Kind(
        ("etl", "predict"), r"image|reject|damaged|read", damage=flips_bytes("*.bmp", lambda bench, _: bench.source)
    ),
    "damaged Parquet": Kind(
        ("train", "evaluate"), r"\.parquet|Parquet", damage=flips_bytes("*.parquet", lambda bench, _: bench.dataset)
    ),
    "damaged manifest": Kind(
        ("train", "evaluate"), r"manifest", damage=flips_bytes("manifest.json", lambda bench, _: bench.dataset)
    ),
    "damaged checkpoint": Kind(("train",), r"checkpoint", damage=damages_checkpoint),
}


def possible() -> dict[str, Kind]:
    """Return the kinds that can be had on this machine."""
    may_mount = os.geteuid() == 0 and _can_mount()
    return {name: kind for name, kind in KINDS.items() if kind.place is None or may_mount}


def _can_mount() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "hvdcells-faults", folder], capture_output=True)
        if done.returncode == 0:
            subprocess.run(["umount", folder], check=True)
        return done.returncode == 0
