"""What all benchmarks share: interleaved rounds, medians with their spread, the machine, and the result file.

The cases of a comparison take turns within every round, so that a machine that slows down for a while slows
down all of them alike; each round starts with another case.
"""

import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import typer
from rich.console import Console
from rich.table import Table

from hvdcells.errors import UserError
from hvdcells.runs.provenance import commit

OutOption = typer.Option(help="JSON file to write the result to.", dir_okay=False)
"""`out: Annotated[Path, OutOption]` is the `--out` of every benchmark."""

_console = Console(stderr=True)


@dataclass(frozen=True)
class Sample:
    """What one case measured, one value per round, in the case's own unit (images per second, seconds)."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Middle value over the rounds."""
        return median(self.values)

    @property
    def spread(self) -> float:
        """Distance from the smallest to the largest value, relative to the median."""
        return (max(self.values) - min(self.values)) / self.median

    def to_json(self) -> dict[str, Any]:
        """Return `median`, `spread` and the `values` themselves, rounded to four significant digits."""
        return {
            "median": significant(self.median),
            "spread": round(self.spread, 3),
            "values": [significant(value) for value in self.values],
        }


def run_interleaved(cases: Mapping[str, Callable[[], float]], rounds: int = 5, warmup: int = 1) -> dict[str, Sample]:
    """Run every case once per round and collect what the cases return.

    Args:
        cases: by name, a function that measures once and returns a rate or seconds.
        rounds: rounds that count.
        warmup: rounds before them whose values are thrown away.
    """
    names = list(cases)
    values: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-warmup, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            label = "warm-up" if number < 0 else f"round {number + 1}/{rounds}"
            with _console.status(f"{label}: {name}"):
                value = cases[name]()
            _console.print(f"{label:>10}  {name:<40} {value:>12.4g}")
            if number >= 0:
                values[name].append(value)
    return {name: Sample(tuple(measured)) for name, measured in values.items()}


def ratio_of(samples: Mapping[str, Sample], case: str, to: str) -> float:
    """Return the median over rounds of case / other, each pair measured in one round: noise over time cancels out."""
    pairs = zip(samples[case].values, samples[to].values, strict=True)
    return round(median(value / other for value, other in pairs), 3)


def environment(packages: Iterable[str] = ()) -> dict[str, Any]:
    """Describe the machine, the versions of the named packages and the commit, without the host's name."""
    known, changes = commit(), _changes()
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {package: metadata.version(package) for package in packages},
        "commit": known and known + "+changes" * changes,
    }


def write_result(path: str | os.PathLike, result: Mapping[str, Any]) -> None:
    """Write a result as JSON, its folder being made if need be."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    _console.print(f"written: {path}")


def print_samples(title: str, unit: str, samples: Mapping[str, Sample]) -> None:
    """Print medians and spreads as a table."""
    table = Table("case", f"median ({unit})", "spread", title=title)
    for name, sample in samples.items():
        table.add_row(name, f"{significant(sample.median):g}", f"{sample.spread:.0%}")
    Console().print(table)


def run_command(command: Callable[..., None]) -> None:
    """Run a benchmark's command line; exit code 2 and one message where the user's input is wrong."""
    try:
        typer.run(command)
    except UserError as error:
        Console(stderr=True, soft_wrap=True).print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(2)


def significant(value: float) -> float:
    """Round to four significant digits."""
    return float(f"{value:.4g}")


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _changes() -> bool:
    """Whether files of the checkout differ from its commit."""
    command = ["git", "-C", str(Path(__file__).parent), "status", "--porcelain", "--untracked-files=no"]
    try:
        return bool(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    except (OSError, subprocess.CalledProcessError):
        return False
