"""The methods of deep learning on Spark side by side.

    python -m benchmarks.methods --out benchmarks/results/methods.json
    python -m benchmarks.methods --method bigdl        # one row again, the others kept
    python -m benchmarks.methods --table               # the table of the last result

Every method trains the same network from the same first weights on the same images, with the same global batch,
rate and epochs, and predicts the same test images; see docs/methods.md. The rounds are interleaved.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.harness import environment, write_result
from benchmarks.methods.adapters.task import Task
from benchmarks.methods.catalogue import BY_NAME, METHODS
from benchmarks.methods.environments import DEFAULT_FOLDER
from benchmarks.methods.results import AIM_F1, Figures, figures_of, merged, row_of
from benchmarks.methods.running import ROOT, run_once
from benchmarks.methods.table import markdown_table
from etl.options import EtlOptions
from etl.pipeline import run_etl
from etl.synthetic import synthesize
from hvdcells.dataset import Dataset
from hvdcells.errors import UserError
from hvdcells.spark import spark_session

RESULT = Path(__file__).parents[1] / "results" / "methods.json"
MANY_EPOCHS = 10_000
console = Console(stderr=True, highlight=False, soft_wrap=True)


def make_dataset(folder: Path, image_size: int) -> str:
    """Draw 2,000 demonstration cells of 40 subjects and make a dataset of them."""
    synthesize(folder / "cells", num_subjects=40, images_per_subject=50)
    with spark_session(slots=2) as spark:
        run_etl(spark, folder / "cells", folder / "dataset", EtlOptions(image_size=image_size))
    return str(folder / "dataset")


def prepare(folder: Path, settings: dict[str, Any]) -> Task:
    """Write the task that all adapters are handed; in a process of its own, which takes TensorFlow."""
    words = "import json, sys; from pathlib import Path; from benchmarks.methods.preparing import prepare; "
    words += "prepare(Path(sys.argv[1]), json.loads(sys.argv[2]))"
    command = [sys.executable, "-c", words, str(folder), json.dumps(settings)]
    subprocess.run(command, check=True, cwd=ROOT)
    return Task(str(folder))


def main(
    dataset: Annotated[
        str | None,
        typer.Option(help="A dataset of `hvdcells etl`. Left out: 2,000 synthetic cells.", show_default=False),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(BY_NAME)}; may be repeated. Left out: all.", show_default=False),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each method; they take turns.")] = 3,
    epochs: Annotated[int, typer.Option(min=2, help="Epochs of every run.")] = 8,
    wall_seconds: Annotated[
        float | None,
        typer.Option(help="Once more for each method and round, cut after so many seconds.", show_default=False),
    ] = None,
    workers: Annotated[int, typer.Option(min=1)] = 2,
    batch_per_worker: Annotated[
        int, typer.Option(min=1, help="25 divides the synthetic set, so that no method drops or pads images.")
    ] = 25,
    learning_rate: Annotated[float, typer.Option(help="Of Adam, constant.")] = 0.001,
    image_size: Annotated[int, typer.Option(help="Of the synthetic cells.")] = 64,
    seed: Annotated[int, typer.Option()] = 1,
    limit_seconds: Annotated[float, typer.Option(help="A run that takes longer has failed.")] = 900.0,
    logs: Annotated[
        Path | None,
        typer.Option(help="Where logs and predictions are kept. Left out: they go.", show_default=False),
    ] = None,
    environments: Annotated[Path, typer.Option(help="Where environments of methods are kept.")] = DEFAULT_FOLDER,
    table: Annotated[bool, typer.Option("--table", help="Print the table of the result and end.")] = False,
    out: Annotated[Path, typer.Option(help="JSON file of the result.", dir_okay=False)] = RESULT,
) -> None:
    """Run the methods and write one row for each."""
    earlier = json.loads(out.read_text()) if out.exists() else None
    if table:
        typer.echo(markdown_table(earlier) if earlier else f"there is no result at {out}")
        raise typer.Exit(0 if earlier else 2)
    unknown = [name for name in method or [] if name not in BY_NAME]
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: not one of {', '.join(BY_NAME)}")
    chosen = [each for each in METHODS if not method or each.name in method]
    settings = {
        "batch_per_worker": batch_per_worker,
        "workers": workers,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    with tempfile.TemporaryDirectory(prefix="methods-") as temporary:
        folder = logs.resolve() if logs else Path(temporary)
        try:
            used = Dataset.open(dataset or make_dataset(Path(temporary), image_size))
        except UserError as error:
            raise typer.BadParameter(str(error)) from None
        settings = {**settings, "image_size": used.manifest.image_size, "synthetic": used.manifest.synthetic}
        tasks = {False: prepare(Path(temporary) / "task", {**settings, "dataset": used.location})}
        if wall_seconds:
            endless = {**settings, "dataset": used.location, "epochs": MANY_EPOCHS}
            tasks[True] = prepare(Path(temporary) / "endless", endless)
        figures: dict[tuple[str, bool], list[Figures]] = {}
        for number in range(rounds):
            first = number % len(chosen)
            for each in chosen[first:] + chosen[:first]:
                for is_cut, task in tasks.items():
                    outcome = folder / f"{each.name}-{'wall' if is_cut else 'epochs'}-{number + 1}"
                    shutil.rmtree(outcome, ignore_errors=True)
                    console.print(
                        f"round {number + 1}/{rounds}  {each.title}{' (cut)' * is_cut}, log: {outcome / 'log'}"
                    )
                    limit = wall_seconds if is_cut else limit_seconds
                    ending = run_once(each, task.folder, outcome, workers, environments, limit, is_cut)
                    found = figures_of(outcome, task, ending)
                    figures.setdefault((each.name, is_cut), []).append(found)
                    console.print(f"    {told(found)}")
    rows = [row_of(each, figures[each.name, False], figures.get((each.name, True), [])) for each in chosen]
    comparable = {**settings, "rounds": rounds, "wall_seconds": wall_seconds, "aim_f1": AIM_F1}
    same = earlier is not None and bool(method) and _same(earlier["settings"], comparable)
    result = {
        "settings": {**comparable, "images": {name: split.images for name, split in used.manifest.splits.items()}},
        "environment": environment(("tensorflow", "horovod", "pyspark", "petastorm")),
        "methods": merged(rows, earlier["methods"] if same else []),
    }
    write_result(out, result)
    typer.echo(markdown_table(result))


def _same(earlier: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether rows of an earlier result stand beside new ones: only the number of rounds may differ."""
    return all(earlier.get(name) == value for name, value in now.items() if name != "rounds")


def told(figures: Figures) -> str:
    """Return one line about a run."""
    if figures["reason"]:
        return f"failed: {figures['reason']}"
    rate = figures.get("images_per_second")
    reached = figures["seconds_to_f1"]
    words = [f"{figures['seconds']:.0f} s", f"{figures['epochs']} epochs"]
    words += [f"{rate:.0f} images/s"] if rate else []
    words += [f"F1 {AIM_F1} after {reached:.0f} s"] if reached else []
    words += [f"test F1 {figures['weighted_f1']:.3f}"] if "weighted_f1" in figures else []
    return ", ".join(words)


if __name__ == "__main__":
    typer.run(main)
