"""The methods of deep learning on Spark side by side.

    python -m benchmarks.methods --out benchmarks/results/methods.json
    python -m benchmarks.methods --method bigdl        # one row again, the others kept
    python -m benchmarks.methods --table               # the table of the last result
    python -m benchmarks.methods --source FOLDER --rounds 1 --epochs 2 --batch-per-worker 4 --out FILE.json

Every method trains the same network from the same first weights on the same images, with the same global batch,
rate and epochs, and predicts the same test images; see docs/methods.md. The rounds are interleaved; each has first
weights and an order of its own, for how fast a score is reached depends on both.
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

from benchmarks.harness import environment
from benchmarks.methods.adapters.task import Task
from benchmarks.methods.catalogue import BY_NAME, METHODS
from benchmarks.methods.environments import DEFAULT_FOLDER
from benchmarks.methods.results import AIM_F1, Figures, figures_of, merged, replace_result, row_of
from benchmarks.methods.running import ROOT, run_once
from benchmarks.methods.table import markdown_table
from etl.demo_cells.generator import synthesize
from etl.options import EtlOptions
from etl.pipeline import run_etl
from hvdcells.data.dataset import Dataset
from hvdcells.errors import UserError
from hvdcells.spark.session import spark_session

RESULT = Path(__file__).parents[1] / "results" / "methods.json"
MANY_EPOCHS = 500
"""Of a run that is cut: more than it can do, and not so many that planning them takes time."""
console = Console(stderr=True, highlight=False, soft_wrap=True)


def make_dataset(folder: Path, image_size: int, source: str | None = None) -> str:
    """Make a dataset of labelled images, or of 2,000 demonstration cells of 40 subjects."""
    if source is None:
        source = str(folder / "cells")
        synthesize(Path(source), num_subjects=40, images_per_subject=50)
    with spark_session(slots=2) as spark:
        run_etl(spark, source, folder / "dataset", EtlOptions(image_size=image_size))
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
    source: Annotated[
        str | None,
        typer.Option(help="A folder of labelled images to make the dataset of, instead.", show_default=False),
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
    learning_rate: Annotated[
        float, typer.Option(help="Of Adam, constant. At 0.001 scores jump: which epoch is first at 0.85 is chance.")
    ] = 0.0003,
    image_size: Annotated[int, typer.Option(help="Of a dataset that is made here.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the first round; the next one's is higher by one.")] = 1,
    limit_seconds: Annotated[float, typer.Option(help="A run that takes longer has failed.")] = 900.0,
    logs: Annotated[
        Path | None,
        typer.Option(
            help="Where logs and predictions are kept. Left out: only those of failed runs.", show_default=False
        ),
    ] = None,
    environments: Annotated[Path, typer.Option(help="Where environments of methods are kept.")] = DEFAULT_FOLDER,
    table: Annotated[bool, typer.Option("--table", help="Print the table of the result and end.")] = False,
    out: Annotated[Path, typer.Option(help="JSON file of the result.", dir_okay=False)] = RESULT,
) -> None:
    """Run the methods and write one row for each; what is measured is written after every run."""
    earlier = json.loads(out.read_text()) if out.exists() else None
    if table:
        typer.echo(markdown_table(earlier) if earlier else f"there is no result at {out}")
        raise typer.Exit(0 if earlier else 2)
    unknown = [name for name in method or [] if name not in BY_NAME]
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: not one of {', '.join(BY_NAME)}")
    if dataset and source:
        raise typer.BadParameter("--dataset and --source at once: give one of them")
    chosen = [each for each in METHODS if not method or each.name in method]
    settings: dict[str, Any] = {
        "batch_per_worker": batch_per_worker,
        "workers": workers,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    with tempfile.TemporaryDirectory(prefix="methods-") as temporary:
        try:
            used = Dataset.open(dataset or make_dataset(Path(temporary), image_size, source))
        except UserError as error:
            raise typer.BadParameter(str(error)) from None
        settings = {**settings, "image_size": used.manifest.image_size, "synthetic": used.manifest.synthetic}
        comparable = {**settings, "wall_seconds": wall_seconds, "aim_f1": AIM_F1}
        comparable["images"] = {name: split.images for name, split in used.manifest.splits.items()}
        kept = _rows_kept(out, earlier, comparable) if method and earlier else []
        tasks: dict[tuple[int, bool], Task] = {}
        described = {
            "settings": {**comparable, "rounds": rounds},
            "environment": environment(("tensorflow", "horovod", "pyspark", "petastorm")),
        }
        figures: dict[tuple[str, bool], list[Figures]] = {}
        folder = logs.resolve() if logs else Path(tempfile.mkdtemp(prefix="methods-logs-"))
        plan = [
            (number, each, is_cut)
            for number in range(rounds)
            for each in chosen[number % len(chosen) :] + chosen[: number % len(chosen)]
            for is_cut in ((False, True) if wall_seconds else (False,))
        ]
        for done, (number, each, is_cut) in enumerate(plan, start=1):
            if (number, is_cut) not in tasks:
                of_round = {"dataset": used.location, "seed": seed + number}
                of_round |= {"epochs": MANY_EPOCHS} if is_cut else {}
                tasks[number, is_cut] = prepare(Path(temporary) / f"{number}-{is_cut}", {**settings, **of_round})
            task = tasks[number, is_cut]
            outcome = folder / f"{each.name}-{'wall' if is_cut else 'epochs'}-{number + 1}"
            shutil.rmtree(outcome, ignore_errors=True)
            what = f"{each.title}{' (cut)' * is_cut}"
            console.print(f"run {done}/{len(plan)}, round {number + 1}/{rounds}  {what}, log: {outcome / 'log'}")
            limit = wall_seconds if is_cut and wall_seconds is not None else limit_seconds
            ending = run_once(each, task.folder, outcome, workers, environments, limit, is_cut)
            found = figures_of(outcome, task, ending)
            figures.setdefault((each.name, is_cut), []).append(found)
            console.print(f"    {told(found)}")
            rows = [
                row_of(other, figures[other.name, False], figures.get((other.name, True), []))
                for other in chosen
                if (other.name, False) in figures
            ]
            result = {**described, "methods": merged(rows, kept)}
            replace_result(out, result)
            if not logs and found["reason"] is None:
                shutil.rmtree(outcome, ignore_errors=True)
        if not logs and not any(folder.iterdir()):
            folder.rmdir()
    console.print(f"written: {out}")
    typer.echo(markdown_table(result))


def _rows_kept(out: Path, earlier: dict[str, Any], now: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of an earlier result beside which new ones may stand: only the number of rounds may differ."""
    different = [name for name, value in now.items() if earlier["settings"].get(name) != value]
    if different:
        was = ", ".join(f"{name}={earlier['settings'].get(name)!r}" for name in different)
        raise typer.BadParameter(
            f"{out} holds rows that were measured with {was}, beside which these rows would mean nothing: "
            "give the same options, or another --out"
        )
    return earlier["methods"]


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
