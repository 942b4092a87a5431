"""Images per second of one GPU: what the user measured, else what others published."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hvdcells.errors import UserError, raise_together

TABLE = Path(__file__).parent / "gpu_rates.json"


@dataclass(frozen=True)
class GpuRate:
    """How fast one GPU trains a model, alone."""

    images_per_second: float
    batch_size: int
    source: str


def published_rate(model: str, gpu: str, precision: str) -> GpuRate:
    """Return the published rate of a GPU that trains a model alone.

    Raises:
        KeyError: none is in the table.
    """
    for row in _published():
        if (row["model"], row["gpu"], row["precision"]) == (model, gpu, precision):
            return _rate(row)
    raise KeyError((model, gpu, precision))


def rates_for(model: str, batch_size: int, given: list[str], mixed_precision: bool = False) -> dict[str, GpuRate]:
    """Return the rate by GPU.

    Args:
        model: a model of the table of gradients; published rates are taken only for the very same one.
        batch_size: per GPU, of the rates that are given.
        given: `GPU=IMAGES_PER_SECOND`, measured by the user, or the file of `benchmarks.gpu_check`; they go before the
            published ones.
        mixed_precision: of the published ones, those of mixed float16 instead of float32 or TF32.

    Raises:
        UserError: one of them is not of that form, or there is no rate at all.
    """
    rates = {
        row["gpu"]: _rate(row)
        for row in _published()
        if row["model"] == model and (row["precision"] == "mixed") == mixed_precision
    }
    problems = []
    for text in given:
        if text.endswith(".json"):
            rates |= checked_rates(Path(text), model, mixed_precision)
            continue
        gpu, _, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = 0.0
        if gpu and 0 < value < float("inf"):
            rates[gpu] = GpuRate(value, batch_size, "given")
        else:
            problems.append(
                UserError(f"--gpu-rate {text}", "GPU=IMAGES_PER_SECOND, such as T4=150", "write it in that form")
            )
    raise_together(problems)
    if not rates:
        raise UserError(
            f"no images per second of a GPU that trains {model}",
            "a measured rate, or a model that others published one of: "
            + ", ".join(sorted({row["model"] for row in _published()})),
            "train for an epoch on one GPU and give the images/s that are printed: --gpu-rate T4=150",
        )
    return rates


def checked_rates(path: Path, model: str, mixed_precision: bool) -> dict[str, GpuRate]:
    """Return the rate of the GPU that `benchmarks.gpu_check` has measured, in the fastest fitting precision.

    Raises:
        UserError: the file is none of it, or holds no rate of this model on one GPU.
    """
    try:
        checked = json.loads(path.read_text())
        of_one = [
            GpuRate(case["by_workers"]["1"]["images_per_second"], case["batch_size"], f"measured, {case['variant']}")
            for case in checked["cases"]
            if case["device"] == "gpu"
            and case["model"] == model
            and "1" in case["by_workers"]
            and ("float16" in case["variant"]) == mixed_precision
        ]
        gpu = checked["gpus"][0]["name"] if of_one else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"--gpu-rate {path}: {error}", "what `python -m benchmarks.gpu_check --out FILE` wrote", "name that file"
        ) from error
    if gpu is None:
        raise UserError(
            f"{path} holds no rate of {model} on one GPU{' in mixed precision' * mixed_precision}",
            "a case of that model that was measured on a GPU",
            f"measure it: python -m benchmarks.gpu_check --recipe {model} --workers 1 --out {path}",
        )
    return {gpu: max(of_one, key=lambda rate: rate.images_per_second)}


def _rate(row: dict) -> GpuRate:
    return GpuRate(row["images_per_second"], row["batch_size"], row["source"])


@cache
def _published() -> list[dict]:
    return json.loads(TABLE.read_text())["rates"]
