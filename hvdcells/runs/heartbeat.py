"""What a rank tells the driver while it works: where it is, every few seconds, and its stacks when it no longer moves.

The words travel as marked lines in the rank's standard error, which Horovod brings to the driver of any cluster with no
further port. A rank that is stopped falls silent; one that hangs goes on to tell where, from a thread of its own. Its
stacks are written by `faulthandler`'s watchdog, which needs neither the interpreter's lock nor a signal from a driver
on another machine. Where a driver has not asked for it, nothing is told.
"""

import faulthandler
import json
import os
import platform
import re
import resource
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

VARIABLE = "HVDCELLS_STALL_SECONDS"
"""Seconds after which a rank that does not move is taken for stalled; set by the driver, 0 or missing for never."""
STACKS_AT = 0.75
"""Of the seconds of `VARIABLE`, when a rank writes its stacks: they are at the driver when that decides."""
LONGEST_PAUSE_SECONDS = 5.0
MARK = "\x1e"
"""ASCII's record separator around each word: found even inside another line."""
_WORD = re.compile(f"{MARK}({{[^{MARK}]*}}){MARK}\n?")


@dataclass(frozen=True)
class Position:
    """Where a rank is."""

    doing: str = "starting"
    epoch: int | None = None
    """Counted from 1."""
    step: int | None = None
    """Of the epoch, counted from 1."""
    tensor: str | None = None
    """What it exchanges with the other ranks before it moves on; None where it is at work by itself."""
    may_be_long: bool = True
    """Whether this may rightly take minutes: a start, a first step, a file that goes to a slow store."""

    def __str__(self) -> str:
        where = f" of epoch {self.epoch}" if self.epoch is not None else ""
        where = (f", step {self.step}" if self.step is not None else "") + where
        return f"{self.doing}{where}" + (f" (exchanges {self.tensor})" if self.tensor else "")


@dataclass(frozen=True)
class Beat:
    """One word of a rank."""

    rank: int
    host: str
    pid: int
    moves: int
    """How often the position has changed."""
    position: Position
    peak_bytes: int = field(default=0, compare=False)
    """The most memory that it has held."""


class _Rank:
    """The one rank of this process."""

    def __init__(self) -> None:
        self.position, self.moves = Position(), 0

    def beat(self, rank: int, stall_seconds: float) -> None:
        pause, known = min(LONGEST_PAUSE_SECONDS, stall_seconds / 8), -1
        while True:
            moves, position = self.moves, self.position
            if moves != known:
                if position.may_be_long:
                    faulthandler.cancel_dump_traceback_later()
                else:
                    faulthandler.dump_traceback_later(stall_seconds * STACKS_AT, file=2)
                known = moves
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            word = json.dumps(asdict(Beat(rank, platform.node(), os.getpid(), moves, position, peak)))
            try:
                os.write(2, f"{MARK}{word}{MARK}\n".encode())
            except OSError:  # nobody listens any more
                return
            _pause.wait(pause)


_this, _pause = _Rank(), threading.Event()


def at(
    doing: str,
    *,
    epoch: int | None = None,
    step: int | None = None,
    tensor: str | None = None,
    may_be_long: bool = False,
) -> None:
    """Note where this rank is now; costs a microsecond."""
    _this.position = Position(doing, epoch, step, tensor, may_be_long)
    _this.moves += 1


def begin(environ: Mapping[str, str] = os.environ) -> None:
    """Tell from now on where this rank is, if its driver has asked for it."""
    stall_seconds = float(environ.get(VARIABLE, 0))
    if stall_seconds > 0:
        arguments = int(environ["HOROVOD_RANK"]), stall_seconds
        threading.Thread(target=_this.beat, args=arguments, daemon=True, name="heartbeat").start()


def take_beats(text: str) -> tuple[list[Beat], str]:
    """Return the words that a text holds, and the text without them."""
    beats = []
    for word in _WORD.findall(text):
        try:
            content = json.loads(word)
            beats.append(Beat(**{**content, "position": Position(**content["position"])}))
        except (ValueError, TypeError, KeyError):  # torn by what another thread wrote in between
            continue
    return beats, _WORD.sub("", text)
