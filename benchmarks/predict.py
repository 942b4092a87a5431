"""Throughput of larger clusters, predicted, and which one to rent.

    python -m benchmarks.predict --model resnet50 --gpu-rate T4=150 --gpus-per-host 4 --network-gbits 50
    python -m benchmarks.predict --advise --model resnet50 --gpu-rate T4=150 --images 9000 --epochs 40 --budget-usd 5
    python -m benchmarks.predict --published
    python -m benchmarks.predict --fit benchmarks/results/scaling

The first predicts 8 to 512 GPUs, the second names the cheapest cluster for a deadline or the fastest one for a budget,
the third holds the model against figures that Horovod's authors and NVIDIA published, the last against measured points
with more ranks than those that it is fitted to. docs/scaling.md says what the model is and what it assumes.
"""

from dataclasses import asdict, replace
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import Console

from benchmarks.cluster_model import advice, measured, published, published_hosts, tables
from benchmarks.cluster_model.cluster import GBIT, Cluster, Link
from benchmarks.cluster_model.gpu_rates import GpuRate, rates_for
from benchmarks.cluster_model.gradients import Gradients, of_model, spread_evenly
from benchmarks.cluster_model.measured_points import measured_point
from benchmarks.cluster_model.published import Constants
from benchmarks.cluster_model.step import Fusion, Workload, predict
from benchmarks.harness import OutOption, run_command, write_result
from benchmarks.scaling.point import read_points
from hvdcells.errors import UserError, raise_together
from launch.clusters.instances import Service, catalogue

console = Console()

GpuRateOption = typer.Option(
    metavar="GPU=IMAGES_PER_SECOND",
    help="Measured rate of one GPU that trains alone, or the file of benchmarks.gpu_check; may be repeated.",
)


def command(
    advise: Annotated[bool, typer.Option("--advise", help="Name a cluster for a deadline or a budget.")] = False,
    check: Annotated[bool, typer.Option("--published", help="Compare with published scaling.")] = False,
    fit: Annotated[Path | None, typer.Option(help="Folder of points of benchmarks.scaling to fit and check.")] = None,
    fit_ranks: Annotated[int, typer.Option(min=2, help="Fit to points of up to so many ranks.")] = 2,
    model: Annotated[str, typer.Option(help="Whose gradients; see gradients.json for the names.")] = "mobilenet_v2",
    gradient_mb: Annotated[
        float | None, typer.Option(min=0, help="Instead of a model of the table: megabytes of gradients.")
    ] = None,
    gpu_rate: Annotated[list[str], GpuRateOption] = [],  # noqa: B006 - typer copies it
    batch_size: Annotated[int, typer.Option(min=1, help="Images per GPU and step, of the rates given.")] = 64,
    mixed_precision: Annotated[
        bool, typer.Option("--mixed-precision", help="Take published rates of mixed float16, not of float32 or TF32.")
    ] = False,
    input_rate: Annotated[
        float | None, typer.Option(min=0.001, help="Images/s that the input pipeline of one rank delivers.")
    ] = None,
    gpus: Annotated[str, typer.Option(help="Numbers of GPUs to predict.")] = "8,16,32,64,128,256,512",
    gpus_per_host: Annotated[int, typer.Option(min=1)] = 4,
    network_gbits: Annotated[float, typer.Option(min=0.001, help="Line rate between hosts.")] = 25,
    network_share: Annotated[
        float | None,
        typer.Option(min=0.01, max=1, help="Of the line rate that is reached; default: TCP's, as published."),
    ] = None,
    latency_us: Annotated[float | None, typer.Option(min=0, help="α, of a round of the ring.")] = None,
    jitter: Annotated[float | None, typer.Option(min=0, max=1, help="Of the ranks' compute time.")] = None,
    hierarchical: Annotated[bool, typer.Option(help="Reduce within each host first.")] = False,
    images: Annotated[int | None, typer.Option(min=1, help="Of the training split.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    deadline_hours: Annotated[float | None, typer.Option(min=0)] = None,
    budget_usd: Annotated[float | None, typer.Option(min=0)] = None,
    service: Annotated[str, typer.Option(help="ec2, emr or sagemaker.")] = "emr",
    spot: Annotated[
        bool,
        typer.Option(
            "--spot",
            help="Workers on spot machines, at the most that they cost by the price table, without interruptions.",
        ),
    ] = False,
    start_minutes: Annotated[float, typer.Option(min=0, help="From the order to the first step.")] = 12,
    max_gpus: Annotated[int, typer.Option(min=1, max=4096)] = 512,
    min_steps: Annotated[int, typer.Option(min=1, help="Per epoch: larger global batches are not offered.")] = 10,
    prices: Annotated[str | None, typer.Option(help="Price table of your own, as JSON.")] = None,
    out: Annotated[Path | None, OutOption] = None,
) -> None:
    """Predict larger clusters."""
    if sum((advise, check, fit is not None)) > 1:
        raise UserError("several of --advise, --published and --fit", "one of them", "leave the others out")
    if check:
        result = _published()
    elif fit:
        result = _fit(fit, fit_ranks, _host_counts(gpus, 1))
    else:
        constants = _constants(network_share, latency_us, jitter)
        gradients = of_model(model) if gradient_mb is None else spread_evenly(gradient_mb * 1e6)
        rates = rates_for(model if gradient_mb is None else "", batch_size, gpu_rate, mixed_precision)
        if advise:
            asked = _asked(images, epochs, deadline_hours, budget_usd, service)
            job = advice.Job(gradients, *asked, spot, start_minutes * 60, max_gpus, min_steps)
            result = _advise(job, rates, prices, constants, deadline_hours, budget_usd)
        else:
            network = Link(constants.latency_seconds, constants.bandwidth_share * network_gbits * GBIT)
            host = Cluster(1, gpus_per_host, network, hierarchical=hierarchical)
            result = _predict(gradients, rates, _host_counts(gpus, gpus_per_host), host, constants, input_rate)
        result |= {"model": model if gradient_mb is None else None, "gradient_bytes": gradients.num_bytes}
    if out:
        write_result(out, result)


def main() -> None:
    """Run the command; exit code 2 and one message where the user's input is wrong."""
    run_command(command)


def _published() -> dict[str, Any]:
    rows, hosts = published.compare(), published_hosts.compare()
    constants = published.calibrate()
    tables.print_comparisons("Horovod's authors", rows, console)
    tables.print_comparisons("Full hosts of eight GPUs, NVIDIA", hosts, console)
    console.print(
        f"One set of constants for all: α {constants.latency_seconds * 1e6:.0f} µs a round, "
        f"{constants.bandwidth_share:.0%} of the line rate, jitter {constants.jitter:.1%}."
    )
    return {"constants": asdict(constants), "comparisons": [asdict(row) for row in (*rows, *hosts)]}


def _fit(folder: Path, max_ranks: int, rank_counts: list[int]) -> dict[str, Any]:
    """Fit each cluster by itself: what one of them is like says nothing of another."""
    by_cluster: dict[str, list[measured.MeasuredPoint]] = {}
    for point in read_points(folder):
        by_cluster.setdefault(point.cluster, []).append(measured_point(point))
    return {"clusters": {name: _fit_cluster(name, by_cluster[name], max_ranks, rank_counts) for name in by_cluster}}


def _fit_cluster(
    name: str, points: list[measured.MeasuredPoint], max_ranks: int, rank_counts: list[int]
) -> dict[str, Any]:
    points = sorted(points, key=lambda point: (point.workload, point.batch_size_per_rank, point.world_size))
    fitted = measured.fit([point for point in points if point.world_size <= max_ranks])
    alone = [point for point in points if point.world_size == 1]
    tables.print_fit(name, fitted, points, max_ranks, console)
    tables.print_larger(fitted, alone, rank_counts, console)
    return {
        "latency_seconds": fitted.link.latency_seconds,
        # JSON has no infinity: None where bytes cost nothing that shows.
        "bytes_per_second": fitted.link.bytes_per_second if isfinite(fitted.link.bytes_per_second) else None,
        "jitter": fitted.jitter,
        "core_sharing": fitted.core_sharing,
        "workloads": {" on ".join(key): asdict(workload) for key, workload in fitted.workloads.items()},
        "points": [asdict(point) | {"predicted_step_seconds": fitted.step_seconds(point)} for point in points],
        "efficiency": [
            asdict(point) | {"by_ranks": {count: fitted.efficiency(point, count) for count in rank_counts}}
            for point in alone
        ],
    }


def _predict(
    gradients: Gradients,
    rates: dict[str, GpuRate],
    host_counts: list[int],
    host: Cluster,
    constants: Constants,
    input_rate: float | None,
) -> dict[str, Any]:
    result: dict[str, Any] = {"constants": asdict(constants), "cluster": asdict(host), "gpus": {}}
    for gpu, rate in rates.items():
        workload = Workload(gradients, rate.batch_size, rate.images_per_second, constants.jitter, input_rate)
        rows = [predict(workload, replace(host, num_hosts=count), Fusion()) for count in host_counts]
        title = f"{gpu}: {rate.images_per_second:g} images/s alone ({rate.source}), batch {rate.batch_size}"
        tables.print_predictions(title, rows, console)
        result["gpus"][gpu] = {"rate": asdict(rate), "predictions": [asdict(row) for row in rows]}
    return result


def _advise(
    job: advice.Job,
    rates: dict[str, GpuRate],
    prices: str | None,
    constants: Constants,
    deadline_hours: float | None,
    budget_usd: float | None,
) -> dict[str, Any]:
    price_table = catalogue(prices)
    frontier = advice.offers(job, rates, price_table, constants)
    chosen = advice.choose(frontier, deadline_hours, budget_usd)
    tables.print_offers(frontier, chosen, job, price_table, console)
    return {
        "chosen": asdict(chosen),
        "offers": [asdict(offer) for offer in frontier],
        "rates": {gpu: asdict(rate) for gpu, rate in rates.items()},
        "constants": asdict(constants),
        "prices_as_of": price_table.as_of,
        "service": job.service,
        "spot": job.spot,
        "num_images": job.num_images,
        "epochs": job.epochs,
        "start_up_seconds": job.start_up_seconds,
    }


def _constants(network_share: float | None, latency_us: float | None, jitter: float | None) -> Constants:
    """Take what is not given from the published figures, over TCP: that is what EMR and SageMaker machines speak."""
    tcp = published.calibrate_tcp()
    return Constants(
        tcp.latency_seconds if latency_us is None else latency_us * 1e-6,
        tcp.bandwidth_share if network_share is None else network_share,
        tcp.jitter if jitter is None else jitter,
    )


def _host_counts(gpus: str, gpus_per_host: int) -> list[int]:
    expected = f"numbers such as 8,16,32, each a multiple of the {gpus_per_host} GPUs per host"
    problem = UserError(f"--gpus {gpus}", expected, "correct --gpus or --gpus-per-host")
    try:
        numbers = [int(number) for number in gpus.split(",")]
    except ValueError:
        raise problem from None
    if any(number < 1 or number % gpus_per_host for number in numbers):
        raise problem
    return [number // gpus_per_host for number in numbers]


def _asked(
    images: int | None, epochs: int | None, deadline_hours: float | None, budget_usd: float | None, service: str
) -> tuple[int, int, Service]:
    """Return images, epochs and service; refuse what is missing, unknown or said twice."""
    problems = [
        UserError(f"--advise without {option}", "a number", f"give {option}")
        for option, value in (("--images", images), ("--epochs", epochs))
        if value is None
    ]
    if (deadline_hours is None) == (budget_usd is None):
        problems.append(
            UserError(
                "--advise with both or neither of --deadline-hours and --budget-usd",
                "one of them: the cheapest cluster for a deadline, or the fastest one for a budget",
                "give one of them",
            )
        )
    known = next((each for each in get_args(Service) if each == service), None)
    if known is None:
        problems.append(UserError(f"--service {service}", f"one of {', '.join(get_args(Service))}", "correct it"))
    raise_together(problems)
    return images or 0, epochs or 0, known or "ec2"


if __name__ == "__main__":
    main()
