"""What the GPUs of a machine give: one command where this environment and GPUs are.

    python -m benchmarks.gpu_check --out gpu.json
    python -m benchmarks.predict --model mobilenet_v2 --gpu-rate gpu.json

It says what TensorFlow, Horovod and the driver are, and measures recipes in float32, TF32, float16, bfloat16 and
compiled by XLA on 1, 2, 4, … GPUs: images/s, what waiting for input and for the other ranks takes of a step, and how
busy the GPUs were. Ranks are started and take their steps as in `hvdcells train`. Without a GPU it measures the CPU in
the same way, and says so.
"""

import csv
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harness import OutOption, environment, run_command, write_result
from benchmarks.scaling.__main__ import numbers_of
from benchmarks.scaling.plan import Request, plan
from benchmarks.scaling.point import ScalingPoint, read_point, scaling_efficiencies
from benchmarks.scaling.sweep import run_sweep
from hvdcells.errors import UserError
from hvdcells.experiment import recipes

VARIANTS: dict[str, dict[str, Any]] = {
    "float32": {"training.tf32": False},
    "TF32": {},
    "float16": {"training.mixed_precision": "float16"},
    "bfloat16": {"training.mixed_precision": "bfloat16"},
    "float16, XLA": {"training.mixed_precision": "float16", "training.jit_compile": True},
}
"""Changes to a recipe. TF32 is TensorFlow's default; GPUs before Ampere have none."""
ON_CPU = ("float32", "bfloat16")
BUSY_EVERY_SECONDS = 0.2

console = Console(highlight=False, soft_wrap=True)


def command(
    out: Annotated[Path, OutOption],
    recipe: Annotated[list[str], typer.Option(help="Recipes to measure.")] = ["small_cnn", "mobilenet_v2"],  # noqa: B006
    variant: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(VARIANTS)}; left out: all.")] = None,
    workers: Annotated[str | None, typer.Option(help="Numbers of workers; left out: 1, 2, 4, … all GPUs.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images a worker and step.")] = 128,
    image_size: Annotated[int, typer.Option(min=16, help="Side of the images, in pixels.")] = 224,
    rounds: Annotated[int, typer.Option(min=1, help="Samples of each, each a start of its own.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Of a block.")] = 30,
    blocks: Annotated[int, typer.Option(min=1, help="In a sample.")] = 4,
    warmup: Annotated[int, typer.Option(min=2, help="Steps before them, which do not count.")] = 10,
    folder: Annotated[
        Path, typer.Option(help="Where points are kept, so that what is there is not measured again.")
    ] = Path("gpu_check"),
) -> None:
    """Measure the GPUs of this machine."""
    gpus = list_gpus()
    names = variant or [name for name in VARIANTS if gpus or name in ON_CPU]
    unknown = sorted(set(names) - set(VARIANTS))
    if unknown:
        raise UserError(f"--variant {unknown[0]}", "one of " + ", ".join(VARIANTS), "correct --variant")
    counts = numbers_of(workers) if workers else powers_up_to(max(1, len(gpus)))
    console.print(
        "\n".join(f"GPU {gpu['index']}: {gpu['name']}, driver {gpu['driver_version']}" for gpu in gpus) or "No GPU."
    )
    sizes = {"data.batch_size": batch_size, "data.input_size": image_size}
    cases, failures = [], []
    for name in recipe:
        for label in names:
            experiment = recipes.by_name(name).override(VARIANTS[label] | sizes)
            asked = Request(
                experiment,
                counts,
                ("weak",),
                ("memory",),
                cluster="gpu_check",
                steps=steps,
                blocks=blocks,
                warmup_steps=warmup,
            )
            points = plan(asked, None)
            kept = folder / f"{name} {label}".replace(", ", " ").replace(" ", "-")
            with watched(gpus) as busy:
                failures += [f"{name}, {label}: {words}" for words in run_sweep(points, kept, rounds)]
            measured = [read_point(kept / point.file_name) for point in points if (kept / point.file_name).exists()]
            if measured:
                cases.append(case_of(name, label, measured, busy))
    print_cases(cases)
    result = {"gpus": gpus, "libraries": libraries(), "cases": cases, "failures": failures}
    write_result(out, result | {"environment": environment(("tensorflow", "horovod", "pyspark"))})
    if failures:
        Console(stderr=True).print("\n".join(failures), style="red", markup=False)
        raise typer.Exit(1)


def list_gpus() -> list[dict[str, str]]:
    """Return what nvidia-smi says of each GPU: `index`, `name`, `uuid`, `driver_version`, `memory.total` (MiB)."""
    if shutil.which("nvidia-smi") is None:
        return []
    return _ask("index", "name", "uuid", "driver_version", "memory.total")


def _ask(*fields: str) -> list[dict[str, str]]:
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [dict(zip(fields, row, strict=True)) for row in csv.reader(lines, skipinitialspace=True)]


@contextmanager
def watched(gpus: Sequence[dict[str, str]]) -> Iterator[list[float]]:
    """Note, while inside, the share of time in which a kernel ran, mean over the GPUs that were busy at all.

    The starts of ranks are in it as well: what counts is the upper quartile.
    """
    shares: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(BUSY_EVERY_SECONDS):
            now = [float(row["utilization.gpu"]) / 100 for row in _ask("utilization.gpu")]
            if any(now):
                shares.append(mean(share for share in now if share))

    watcher = threading.Thread(target=watch, daemon=True)
    if gpus:
        watcher.start()
    try:
        yield shares
    finally:
        ended.set()
        if gpus:
            watcher.join()


def case_of(recipe: str, variant: str, points: Sequence[ScalingPoint], busy: Sequence[float]) -> dict[str, Any]:
    """Return the figures of a recipe in one precision, by number of workers."""
    efficiencies = scaling_efficiencies(points)
    return {
        "recipe": recipe,
        "model": points[0].settings["experiment"]["model"]["backbone"],
        "variant": variant,
        "device": points[0].device,
        "batch_size": points[0].batch_size_per_rank,
        "busy": sorted(busy)[3 * len(busy) // 4] if busy else None,
        "by_workers": {
            point.world_size: {
                "images_per_second": point.images_per_second,
                "spread": point.images_per_second_spread,
                "input_share": point.input_seconds / point.step_seconds,
                "communication_share": point.communication_seconds / point.step_seconds,
                "scaling_efficiency": efficiencies.get(point.world_size),
                "peak_memory_bytes": point.peak_memory_bytes,
            }
            for point in points
        },
    }


def print_cases(cases: Sequence[dict[str, Any]]) -> None:
    """Print a row for each recipe, precision and number of workers."""
    table = Table(title="GPU check")
    for column in ("recipe", "precision", "device", "workers", "images/s", "±", "input", "comm.", "scaling", "busy"):
        table.add_column(column, justify="left" if column in ("recipe", "precision", "device") else "right")
    for case in cases:
        for workers, row in case["by_workers"].items():
            shares = (row["input_share"], row["communication_share"], row["scaling_efficiency"], case["busy"])
            table.add_row(
                *(case["recipe"], case["variant"], case["device"], str(workers), f"{row['images_per_second']:,.0f}"),
                f"{row['spread']:.0%}",
                *("–" if share is None else f"{share:.0%}" for share in shares),
            )
    console.print(table)


def libraries() -> dict[str, Any]:
    """Return what TensorFlow was built with and whether Horovod reduces through NCCL; asked in a process of its own."""
    asked = (
        "import json, horovod.tensorflow as hvd, tensorflow as tf; build = tf.sysconfig.get_build_info();"
        "names = ('cuda_version', 'cudnn_version', 'cuda_compute_capabilities');"
        "print(json.dumps({**{n: build.get(n) for n in names}, 'nccl': bool(hvd.nccl_built()),"
        " 'gpus_seen': len(tf.config.list_physical_devices('GPU'))}))"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def powers_up_to(most: int) -> tuple[int, ...]:
    """Return 1, 2, 4, … and `most`."""
    return tuple(sorted({*(2**power for power in range(most.bit_length())), most}))


def main() -> None:
    """Run the command; exit code 2 and one message where the user's input is wrong."""
    run_command(command)


if __name__ == "__main__":
    main()
