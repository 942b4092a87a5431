"""A sweep: all points in turn, round after round, each with a file that holds the samples it has so far."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.scaling.plan import PlannedPoint
from benchmarks.scaling.point import ScalingPoint, ScalingSample, read_point
from benchmarks.scaling.start import Start, StartFailedError, start
from benchmarks.scaling.summary import point_of, sample_of

console = Console(stderr=True, highlight=False, soft_wrap=True)


def run_sweep(
    points: Sequence[PlannedPoint],
    folder: Path,
    rounds: int,
    usd_per_host_hour: float | None = None,
    again: bool = False,
    starting: Start = start,
) -> list[str]:
    """Measure points until each has a sample of every round; samples that its file holds already count.

    Largest clusters come first, so that slots that are missing are known at once; each round begins with another
    point.

    Args:
        points: of the sweep.
        folder: of the points' files.
        rounds: samples a point is to have.
        usd_per_host_hour: price of a host, for the cost.
        again: samples of earlier sweeps do not count.
        starting: starts the ranks of a point once.

    Returns:
        What failed, in words; other points are measured all the same.

    Raises:
        UserError: a point cannot be measured as asked for.
    """
    points = sorted(points, key=lambda point: -point.world_size)
    files = {point.file_name: folder / point.file_name for point in points}
    kept = {point.file_name: [] if again else samples_of(point, files[point.file_name]) for point in points}
    already = sum(len(samples[:rounds]) for samples in kept.values())
    if already:
        console.print(f"{already} of {rounds * len(points)} samples are there already.", markup=False)
    failures: dict[str, str] = {}
    for number in range(rounds):
        first = number % len(points)
        for point in [*points[first:], *points[:first]]:
            samples = kept[point.file_name]
            if len(samples) > number or point.file_name in failures:
                continue
            with console.status(f"round {number + 1}/{rounds}: {point.name}"):
                try:
                    outcome = starting(point)
                except StartFailedError as error:
                    failures[point.file_name] = f"{point.name}: {error}"
                    console.print(f"round {number + 1}/{rounds}  {point.name:<28} failed", markup=False)
                    continue
            samples.append(sample_of(outcome, point.request.steps))
            measured = point_of(point, samples, outcome, usd_per_host_hour)
            write_point(measured, files[point.file_name])
            console.print(f"round {number + 1}/{rounds}  {point.name:<28} {_in_words(samples[-1])}", markup=False)
    return list(failures.values())


def samples_of(planned: PlannedPoint, path: Path) -> list[ScalingSample]:
    """Return the samples that a point's file holds; none if it was measured with other settings.

    Raises:
        UserError: the file is no point.
    """
    if not path.exists():
        return []
    point = read_point(path)
    if point.settings == planned.settings():
        return list(point.samples)
    console.print(f"{path.name} was measured with other settings; it is measured anew.", markup=False)
    return []


def write_point(point: ScalingPoint, path: Path) -> None:
    """Write a point's file, aside first: whoever is killed leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".unfinished")
    aside.write_text(point.model_dump_json(indent=1) + "\n")
    aside.replace(path)


def _in_words(sample: ScalingSample) -> str:
    efficiency = sample.communication_efficiency
    of_it = f", {efficiency:.0%} of independent ranks" if efficiency else ""
    first_step = sample.start_up_seconds["first_step"]
    return f"{sample.images_per_second:8.1f} images/s{of_it}, first step after {first_step:.1f} s"
