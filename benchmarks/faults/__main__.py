"""Strikes faults at random moments of all stages; after each, all must be as in an undisturbed run, or clearly refused.

    python -m benchmarks.faults --count 300 --seed 14 --out benchmarks/results/faults.json

Given again with the same seed it goes on where it was stopped: every fault is written as soon as it is done.
"""

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.faults.campaign import carry_out, draw
from benchmarks.faults.kinds import possible
from benchmarks.faults.stages import prepare
from benchmarks.harness import OutOption, environment, write_result


def main(
    out: Annotated[Path, OutOption],
    count: Annotated[int, typer.Option(min=1, help="Faults.")] = 300,
    seed: Annotated[int, typer.Option(help="Other faults.")] = 14,
    bench: Annotated[Path | None, typer.Option(help="Where undisturbed results are kept between campaigns.")] = None,
) -> None:
    """Carry out a campaign, print its table, and end with 1 if anything was wrong."""
    results = json.loads(out.read_text())["faults"] if out.exists() else []
    done = {result["number"] for result in results}
    kinds = possible()
    with tempfile.TemporaryDirectory() as folder:
        place, digests, seconds = prepare(bench or Path(folder, "bench"), print)
        for fault in draw(count, seed, kinds):
            if fault.number in done:
                continue
            with tempfile.TemporaryDirectory(dir=folder) as own:
                expected, undisturbed = digests[fault.stage], seconds[fault.stage]
                result = carry_out(fault, kinds[fault.kind], place, expected, undisturbed, Path(own))
            results.append(result)
            print(json.dumps(result), flush=True)
            write_result(out, {"environment": environment(), "seed": seed, "undisturbed": seconds, "faults": results})
    Console().print(table(results))
    raise typer.Exit(int(any(result.get("wrong") for result in results)))


def table(results: list[dict[str, Any]]) -> Table:
    """Return faults by kind and stage, with what came of them and the longest time to recover."""
    shown = Table("fault", "stage", "faults", "what came of them", "recovered within", "wrong")
    pairs = sorted({(result["kind"], result["stage"]) for result in results})
    for kind, stage in pairs:
        those = [result for result in results if (result["kind"], result["stage"]) == (kind, stage)]
        came = ", ".join(f"{number} {what}" for what, number in Counter(each["outcome"] for each in those).items())
        times = [each["recovered_after_seconds"] for each in those if "recovered_after_seconds" in each]
        within = f"{max(times):.0f} s" if times else ""
        shown.add_row(kind, stage, str(len(those)), came, within, str(sum(bool(each.get("wrong")) for each in those)))
    return shown


if __name__ == "__main__":
    typer.run(main)
