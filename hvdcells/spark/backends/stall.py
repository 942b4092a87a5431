"""Whether ranks still move: decided from what they tell of where they are (`hvdcells.runs.heartbeat`)."""

import platform
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from hvdcells import storage
from hvdcells.runs.heartbeat import VARIABLE, Beat, take_beats
from hvdcells.secrets import without_secrets
from hvdcells.spark.backends.base import LESS_MEMORY, STALL_NAME, RankLostError
from hvdcells.spark.horovod_changes import Ending, WorkerOutput

PATIENCE_SECONDS = 600.0
"""For what may rightly be long: a start, a first step, a model that goes to a slow store."""
PAUSED_SECONDS = 5.0
"""A driver that was not asked for so long was suspended itself: that time says nothing about its ranks."""
MOST_TOLD = 6
"""Ranks that the message names one by one."""
SPY_SECONDS = 20
GLOO_TIMEOUT_SECONDS = 900
"""Of an exchange: longer than the patience above, so that gloo does not end ranks, and blame one, before we do."""
_MISSING = re.compile(r"^(\d+): \[(.+)\]$", re.MULTILINE)
_RANK_LINE = re.compile(r"^\[(\d+)\]<stderr>:(.*)$", re.MULTILINE)


@dataclass
class _Heard:
    beat: Beat
    at: float
    moved: float


@dataclass(frozen=True)
class Stall:
    """A world that no longer moves."""

    seconds: float
    """For how long at least."""
    last: dict[int, Beat]
    """The last word of each rank that ever said one."""
    silent: tuple[int, ...]
    """Ranks whose processes say nothing any more: stopped, or cut off."""
    missing: tuple[int, ...]
    """Ranks that the others wait for."""
    tensors: str
    """What they wait at."""
    silence: dict[int, float]
    """Seconds since each rank was heard of."""

    def lines(self) -> list[str]:
        """Say it in at most nine lines."""
        names = ", ".join(map(str, self.missing))
        what = f"the ranks stand still for {self.seconds:.0f} s"
        found = [f"{what}; missing: rank {names}" if len(self.missing) < len(self.last) else f"{what}, all of them"]
        if self.tensors:
            found[0] += f"; the others wait at {self.tensors}"
        ordered = sorted(self.last, key=lambda rank: (rank not in self.missing, rank))
        for rank in ordered[:MOST_TOLD]:
            beat = self.last[rank]
            state = f"silent for {self.silence[rank]:.0f} s, last heard of at:" if rank in self.silent else "answers:"
            found.append(f"  rank {rank} (process {beat.pid} on {beat.host}) {state} {beat.position}")
        if len(ordered) > MOST_TOLD:
            found.append(f"  and {len(ordered) - MOST_TOLD} more")
        return found


class StallWatch:
    """Hears the ranks and finds when they stall; `hear` is called by other threads than `find`.

    Args:
        num_ranks: the world size.
        seconds: after which a rank that is silent, or a world that does not move, is stalled; 0 for never.
        clock: seconds that do not go on while the machine is suspended.
    """

    def __init__(self, num_ranks: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.num_ranks, self.seconds, self._clock = num_ranks, seconds, clock
        self._heard: dict[int, _Heard] = {}
        self._asked = clock()
        self._inspected: dict[int, str] = {}

    def hear(self, beat: Beat) -> None:
        """Take a word of a rank."""
        now, known = self._clock(), self._heard.get(beat.rank)
        moved = known.moved if known and known.beat.moves == beat.moves else now
        if moved == now:
            self._inspected = {}
        self._heard[beat.rank] = _Heard(beat, now, moved)

    def hear_inspector(self, text: str) -> None:
        """Take what Horovod's own stall inspector tells on rank 0: the ranks missing at each tensor."""
        self._inspected |= {int(rank): tensors for rank, tensors in _MISSING.findall(_RANK_LINE.sub(r"\2", text))}

    def last_word(self, rank: int | None) -> Beat | None:
        """Return the last word of a rank; None where it never said one."""
        return self._heard[rank].beat if rank in self._heard else None

    def find(self) -> Stall | None:
        """Return how the world stands still, if it does."""
        now = self._clock()
        paused, self._asked = now - self._asked, now
        heard = dict(self._heard)
        if paused > PAUSED_SECONDS:
            for each in heard.values():
                each.at, each.moved = each.at + paused, each.moved + paused
        if self.seconds <= 0 or not heard:
            return None
        silence = {rank: now - each.at for rank, each in heard.items()}
        silent = tuple(sorted(rank for rank, seconds in silence.items() if seconds >= self.seconds))
        patient = len(heard) < self.num_ranks or any(each.beat.position.may_be_long for each in heard.values())
        limit = max(PATIENCE_SECONDS, self.seconds) if patient else self.seconds
        unmoved = now - max(each.moved for each in heard.values())
        if not silent and unmoved < limit:
            return None
        last = {rank: each.beat for rank, each in sorted(heard.items())}
        missing, tensors = self._missing(last, silent)
        seconds = max(silence[rank] for rank in silent) if silent else unmoved
        return Stall(seconds, last, silent, missing, tensors, silence)

    def _missing(self, last: dict[int, Beat], silent: tuple[int, ...]) -> tuple[tuple[int, ...], str]:
        """Return the ranks that the others wait for, and what they wait at."""
        missing = silent or tuple(sorted(set(self._inspected) & set(last)))
        if not missing:
            # Who has come least far, and of those who is at work by itself, is waited for.
            places = {rank: (b.position.epoch or 0, b.position.step or 0) for rank, b in last.items()}
            behind = [rank for rank, place in places.items() if place == min(places.values())]
            by_itself = [rank for rank in behind if last[rank].position.tensor is None]
            missing = tuple(by_itself or behind)
        told = [self._inspected[rank] for rank in missing if rank in self._inspected]
        waiting = [b.position for rank, b in last.items() if rank not in missing and b.position.tensor]
        places_told = {f"{p.tensor} (epoch {p.epoch}, step {p.step})" if p.step else f"{p.tensor}" for p in waiting}
        return missing, told[0] if told and not waiting else ", ".join(sorted(places_told))


def stacks_of(output: str) -> dict[int, str]:
    """Return the stacks that ranks have written of themselves, the last of each, from what they wrote to stderr."""
    found: dict[int, list[str]] = {}
    for rank, line in _RANK_LINE.findall(output):
        if line.startswith("Timeout (") and line.rstrip().endswith("!"):
            found[int(rank)] = []
        elif int(rank) in found:
            found[int(rank)].append(line)
    return {rank: "\n".join(lines) for rank, lines in found.items()}


def output_of(output: str, rank: int | None) -> str:
    """Return what one rank wrote, without prefixes, from what all wrote to standard error."""
    return "\n".join(line for number, line in _RANK_LINE.findall(output) if int(number) == rank)


def spy_on(beat: Beat) -> str:
    """Return the stacks of a rank that does not answer, by py-spy from outside; why there are none, where it cannot."""
    if beat.host != platform.node():
        return "it does not answer, and is on another machine"
    if (spy := shutil.which("py-spy")) is None:
        return "it does not answer (with py-spy installed, its stacks would stand here)"
    try:
        command = [spy, "dump", "--nonblocking", "--pid", str(beat.pid)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SPY_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"py-spy did not tell: {error}"
    return done.stdout or f"py-spy did not tell: {done.stderr.strip()}"


def report(stall: Stall, output: str) -> str:
    """Return all that is known of a stall, for a file.

    Args:
        stall: what was found.
        output: what the ranks wrote to standard error, with Horovod's prefixes.
    """
    stacks = stacks_of(output)
    parts = ["\n".join(stall.lines())]
    for rank, beat in stall.last.items():
        told = spy_on(beat) if rank in stall.silent else stacks.get(rank, "it answers, and was moving: no stacks")
        parts.append(f"--- rank {rank}, process {beat.pid} on {beat.host}: {beat.position}\n{told}")
    return "\n\n".join(parts) + "\n"


class RanksStalledError(RankLostError):
    """The ranks stood still and were ended; the message names those that the others waited for."""


class WatchedRanks:
    """The stall watch of one job: from what its ranks write to the error that tells of them."""

    def __init__(self, num_ranks: int, seconds: float) -> None:
        self._watch = StallWatch(num_ranks, seconds)
        self._stall: Stall | None = None
        self._report = ""

    def hear(self, text: str) -> str:
        """Take what ranks have written to standard error; return what of it is for a reader."""
        beats, rest = take_beats(text)
        for beat in beats:
            self._watch.hear(beat)
        if ": [" in rest:
            self._watch.hear_inspector(rest)
        return "" if beats and not _RANK_LINE.sub(r"\2", rest).strip() else rest

    def look(self, ending: Ending, output: WorkerOutput) -> None:
        """End the job where its ranks stand still."""
        if ending.since is None and (stall := self._watch.find()) is not None:
            self._stall, self._report = stall, report(stall, output.text())
            ending.stop()

    def describe(self, ending: Ending) -> str:
        """Say how the first failing process ended; of one that may have been short of memory, how much it had."""
        told, beat = ending.describe(), self._watch.last_word(ending.rank)
        if ending.exit_code != 128 + signal.SIGKILL or beat is None:
            return told
        return (
            f"{told}: process {beat.pid} on {beat.host}, at {beat.position}, its peak {beat.peak_bytes / 1e9:.1f} GB. "
            f"If the kernel has ended it for memory (dmesg tells), {LESS_MEMORY}"
        )

    def raise_stall(self, logs: str, cause: BaseException) -> None:
        """Raise the stall that ended the job, if one did, after its report was written to `stall.txt`."""
        if self._stall is None:
            return
        location = storage.join(logs, STALL_NAME)
        with suppress(OSError):
            storage.write_text(location, without_secrets(self._report))
        raise RanksStalledError("\n".join([*self._stall.lines(), f"Stacks of the ranks: {location}"])) from cause


def stall_environment(seconds: float) -> dict[str, str]:
    """Return the variables with which ranks tell where they are, and Horovod's stall inspector speaks in time.

    The inspector only speaks: it would end ranks that rightly wait for one that writes to a slow store, and with no
    word of where they are. Gloo's 30 s would do the same.
    """
    environment = {
        VARIABLE: f"{max(0, seconds):g}",
        "HOROVOD_GLOO_TIMEOUT_SECONDS": str(max(GLOO_TIMEOUT_SECONDS, int(2 * seconds))),
    }
    if seconds > 0:
        environment["HOROVOD_STALL_CHECK_TIME_SECONDS"] = str(max(1, int(seconds / 2)))
        environment["HOROVOD_STALL_SHUTDOWN_TIME_SECONDS"] = "0"
    return environment
