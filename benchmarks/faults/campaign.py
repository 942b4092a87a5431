"""One fault: struck at a random moment of a stage, and all that must hold after it."""

import random
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.faults.kinds import Kind, NobodyThereError
from benchmarks.faults.stages import STAGES, Bench
from tests.processes import Command, command

ALL_END_SECONDS = 10.0
"""In which nothing may be left of a command that has ended."""
LONGEST = 6.0
"""A command may take so many times its undisturbed time, and a minute, before it is taken for hung."""
LEFT_ALONE = re.compile(r"__autograph_generated_file|owner\.json")
"""TensorFlow leaves the first where it is killed; a new owner takes over the second."""


@dataclass(frozen=True)
class Fault:
    """One of a campaign; a function of its seed and number."""

    number: int
    stage: str
    kind: str
    moment: float
    """Share of the undisturbed time at which it strikes."""
    seed: int


def draw(count: int, seed: int, kinds: dict[str, Kind]) -> list[Fault]:
    """Draw the faults of a campaign; a longer one of the same seed begins with the same."""
    pairs = [(stage, name) for name, kind in kinds.items() for stage in kind.stages]
    faults = []
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        # Each pair once in a round, in an order of its own: few faults, too, are of many kinds.
        order = random.Random(f"{seed} round {number // len(pairs)}").sample(pairs, len(pairs))
        stage, name = order[number % len(pairs)]
        faults.append(Fault(number, stage, name, rng.uniform(0.02, 1.0), rng.randrange(1 << 30)))
    return faults


def carry_out(
    fault: Fault, kind: Kind, bench: Bench, expected: str, undisturbed_seconds: float, folder: Path
) -> dict[str, Any]:
    """Strike once; give the command again; return what came out, with all that was wrong in `wrong`."""
    stage, rng = STAGES[fault.stage], random.Random(fault.seed)
    record: dict[str, Any] = {"number": fault.number, "stage": fault.stage, "kind": fault.kind}
    temporary, place = folder / "temporary", folder / "place"
    temporary.mkdir(parents=True)
    out = place / "out"
    limit = LONGEST * undisturbed_seconds + 60
    with kind.place(place) if kind.place else nullcontext(lambda: None) as mend:
        if stage.in_place:
            shutil.copytree(bench.result_of(fault.stage), out)
            shutil.rmtree(out / "evaluation")
        try:
            mends = [mend, kind.damage(bench, out, rng) if kind.damage else lambda: None]
            began_with_work = out.exists() and not stage.in_place
            arguments = (stage.again if began_with_work else stage.arguments)(bench, out)
            began = time.monotonic()
            try:
                code, output, struck, wrong = _disturbed(
                    arguments, fault, kind, place, temporary, undisturbed_seconds, limit, rng
                )
            finally:
                for each in mends:
                    each()
        except NobodyThereError:
            return {**record, "outcome": "not struck"}
        record |= {"exit_code": code, "struck_after_seconds": struck and round(struck - began, 1)}
        if struck is None and kind.strike:
            record["outcome"] = "it was over"
        elif code is None:
            wrong.append(f"it hangs: not over after {limit:.0f} s")
            record["outcome"] = "hung"
        elif code == 0:
            same = stage.digest(out) == expected
            record["outcome"] = "unharmed" if same else "told, and without what was damaged"
            if not same and not (kind.damage and re.search(kind.told, output)):
                wrong.append("it ended well, with another result")
        else:
            record["outcome"] = "ended, with its cause"
            if "Traceback" in output or not (kind.is_told_by_exit or re.search(kind.told, output)):
                wrong.append(f"the message does not name the cause: {output[-1500:]}")
        if code != 0 or record["outcome"].startswith("told"):
            if kind.damage and not began_with_work and not stage.in_place:
                shutil.rmtree(out, ignore_errors=True)
            with command(*stage.again(bench, out), TMPDIR=str(temporary)) as running:
                again = _ending(running, _reading(running), limit)
                wrong += _alive(running)
            if again != 0:
                wrong.append(f"the next command ended with {again}: {running.output[-1500:]}")
            elif stage.digest(out) != expected:
                wrong.append("the next command came to another result")
            record["recovered_after_seconds"] = round(time.monotonic() - (struck or began), 1)
            left = [path.name for path in temporary.iterdir() if not LEFT_ALONE.search(path.name)]
            wrong += [f"left in the temporary folder: {', '.join(left)}"] * bool(left)
        aside = [str(path.relative_to(place)) for path in out.rglob(".*") if path.is_file()]
        wrong += [f"left aside: {', '.join(aside)}"] * bool(aside)
    return {**record, "wrong": wrong}


def _disturbed(
    arguments: Sequence[Any],
    fault: Fault,
    kind: Kind,
    place: Path,
    temporary: Path,
    undisturbed_seconds: float,
    limit: float,
    rng: random.Random,
) -> tuple[int | None, str, float | None, list[str]]:
    """Run a command and strike it; return exit code (None where it hung), words, time of the strike, what is left."""
    struck = None
    with command(*arguments, TMPDIR=str(temporary)) as running:
        reader = _reading(running)
        if kind.strike:
            reader.join(fault.moment * undisturbed_seconds)
            while running.process.poll() is None and struck is None:
                try:
                    kind.strike(running, place, rng)
                    struck = time.monotonic()
                except NobodyThereError:  # not yet, or it needs none: struck as soon as somebody is there
                    reader.join(0.2)
        code = _ending(running, reader, limit)
        left = [] if code is None else _alive(running)
    return code, running.output, struck, left


def _reading(running: Command) -> threading.Thread:
    def read() -> None:
        with suppress(ValueError):  # it hung, and its output was closed
            running.read_to_the_end()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return reader


def _ending(running: Command, reader: threading.Thread, limit: float) -> int | None:
    try:
        code = running.process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    reader.join(ALL_END_SECONDS)
    return code


def _alive(running: Command) -> list[str]:
    _, alive = psutil.wait_procs(running.processes(), timeout=ALL_END_SECONDS)
    return [f"a process is left: {' '.join(process.cmdline())[:200]}" for process in alive]
