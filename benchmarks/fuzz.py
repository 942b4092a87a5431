"""Files changed at random against all that reads files of somebody else; shows that none crashes, hangs or escapes.

    python -m benchmarks.fuzz --out benchmarks/results/fuzz.json

Each kind is read in a process of its own, with a limit of memory and of time. Nothing may end that process, and
nothing may happen in it but reading: no import, no other program, no connection, no pickle, no file written outside.
`tests/benchmarks/test_fuzz.py` does the same with fewer files.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.fuzzing.worker import CASES
from benchmarks.harness import OutOption, environment, write_result

MOST_MIB = 1024
SHARES = {"images": 20, "manifests": 5, "parquet": 2, "runs": 2}
"""Files of each kind, for each `--count`."""


def fuzz(kind: str, count: int, seed: int, most_seconds: float) -> dict[str, Any]:
    """Let a process read changed files of one kind; return what came out.

    Raises:
        AssertionError: a file ended the process, or it took too long; its number and the seed make it again.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.fuzzing.worker", kind, str(count), str(seed), folder]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=most_seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{kind}: not done after {most_seconds:g} s, at {_at(folder)}, seed {seed}") from None
        if done.returncode != 0:
            where = f"{kind}: exit code {done.returncode} at file {_at(folder)}, seed {seed}"
            raise AssertionError(f"{where}\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _at(folder: str) -> str:
    file = Path(folder, "at")
    return file.read_text() if file.exists() else "the start"


def main(
    out: Annotated[Path, OutOption],
    count: Annotated[int, typer.Option(min=1, help="20 images, 5 manifests, 2 Parquet files, 2 runs for each.")] = 5000,
    seed: Annotated[int, typer.Option(help="Other files.")] = 0,
) -> None:
    """Fuzz, and write the result."""
    results = {kind: fuzz(kind, SHARES[kind] * count, seed, most_seconds=36_000) for kind in CASES}
    for kind, result in results.items():
        print(f"{kind}: {result}")
    write_result(out, {"environment": environment(), "seed": seed, "results": results})
    if any(result["forbidden"] or result["peak_mib"] > MOST_MIB for result in results.values()):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
