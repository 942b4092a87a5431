"""Whether results are older than the code that they measured."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
MEASURED: dict[str, tuple[str, ...]] = {
    "etl": ("etl", "hvdcells/storage", "hvdcells/data"),
    "input_pipeline": ("hvdcells/rank/input", "hvdcells/data", "hvdcells/storage"),
    "communication": ("hvdcells/rank", "hvdcells/spark"),
    "start_up": ("hvdcells/driver", "hvdcells/rank", "hvdcells/spark", "launch/commands/train.py"),
    "scaling": ("hvdcells/rank", "hvdcells/spark"),
    "four_hosts": ("etl", "hvdcells"),
    "methods": ("hvdcells", "benchmarks/methods"),
    "methods_sample": ("hvdcells", "benchmarks/methods"),
}
"""What each benchmark measures: folders and files of the checkout, by the name of its result."""


@dataclass(frozen=True)
class Age:
    """One result, and how much of what it measured has changed since."""

    name: str
    """Of the file, or the folder of points."""
    time: str
    commit: str | None
    changes: int | None
    """Commits since then that touch what was measured; None where that cannot be told."""

    @property
    def told(self) -> str:
        """The state in words."""
        if self.changes is None:
            return "of a commit that is not in this checkout's history"
        if self.changes == 0:
            return "as new as what it measured"
        return f"older than what it measured: {self.changes} commits since"


def ages_of(results: Path) -> list[Age]:
    """Return the age of every known result in a folder; of the scaling points, that of the oldest."""
    found = []
    for name, paths in MEASURED.items():
        files = sorted((results / name).glob("*.json")) or [
            file for file in [results / f"{name}.json"] if file.exists()
        ]
        noted = [_noted(file) for file in files]
        if noted:
            time, commit = min(noted, key=lambda each: each[0])
            found.append(Age(name, time, commit, commits_since(commit, paths)))
    return found


def _noted(file: Path) -> tuple[str, str | None]:
    environment = json.loads(file.read_text()).get("environment", {})
    return str(environment.get("time", "")), environment.get("commit")


def commits_since(commit: str | None, paths: Sequence[str], checkout: Path = CHECKOUT) -> int | None:
    """Count the commits after one that change some paths; None where git does not know the commit."""
    if not commit:
        return None
    base = commit.removesuffix("+changes")
    command = ["git", "rev-list", "--count", f"{base}..HEAD", "--", *paths]
    try:
        done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return int(done.stdout)
