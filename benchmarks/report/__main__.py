"""Plots and one page of the measured results.

    python -m benchmarks.report

Reads `benchmarks/results/scaling/*.json` and, where they are there, `methods.json` and `four_hosts.json` beside it;
writes one plot per question as PNG, and `index.html`, which needs nothing beside it.
"""

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks.harness import run_command
from benchmarks.report.ages import Age, ages_of
from benchmarks.scaling.point import ScalingPoint, read_points, scaling_efficiencies
from hvdcells.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = Path(__file__).parents[1] / "results"
ALT = {
    "throughput": "Images per second by number of workers",
    "efficiency": "Scaling and communication efficiency by number of workers",
    "cost": "US dollars for a million images by number of workers",
    "methods": "Images per second, and seconds to the aimed F1, of each method",
}


def write_report(results: Path, out: Path) -> list[Path]:
    """Write the plots and the page; return the files.

    Raises:
        UserError: there is nothing to report, or files that are no results.
    """
    from benchmarks.report import figures
    from hvdcells.scores.plots import styled

    folder = results / "scaling"
    points = read_points(folder) if any(folder.glob("*.json")) else []
    methods, four_hosts = _result(results / "methods.json"), _result(results / "four_hosts.json")
    if not points and not methods and not four_hosts:
        raise UserError(
            f"{results} holds no points of the scaling benchmark and no methods.json",
            "measured results",
            "measure some: python -m benchmarks.scaling, python -m benchmarks.methods",
        )
    out.mkdir(parents=True, exist_ok=True)
    with styled():
        drawn = {
            "throughput": figures.throughput(points) if points else None,
            "efficiency": figures.efficiency(points) if points else None,
            "cost": figures.cost(points),
            "methods": figures.methods(methods["methods"]) if methods else None,
        }
        pictures = {name: _png(figure) for name, figure in drawn.items() if figure is not None}
    written = []
    for name in drawn:
        path = out / f"{name}.png"
        path.unlink(missing_ok=True)  # a plot of results that are no longer there
        if name in pictures:
            path.write_bytes(pictures[name])
            written.append(path)
    page = out / "index.html"
    page.write_text(_page(points, methods, four_hosts, pictures, ages_of(results)))
    return [*written, page]


def _page(
    points: Sequence[ScalingPoint],
    methods: dict[str, Any] | None,
    four_hosts: dict[str, Any] | None,
    pictures: dict[str, bytes],
    ages: Sequence[Age],
) -> str:
    from jinja2 import Environment, FileSystemLoader, PackageLoader, StrictUndefined
    from jinja2.loaders import ChoiceLoader

    from benchmarks.report.figures import TITLES, series_name, series_of

    # The look is that of the report of a run.
    loader = ChoiceLoader([FileSystemLoader(Path(__file__).parent), PackageLoader("hvdcells.report", ".")])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"ms": lambda seconds: f"{1000 * seconds:.1f}", "number": _number, "percent": _percent}
    tables = [
        {
            "title": f"{TITLES[series[0].mode, series[0].input].capitalize()} – {series_name(series)}",
            "points": series,
            "efficiencies": scaling_efficiencies(series),
        }
        for series in series_of(points)
    ]
    uris = {name: "data:image/png;base64," + base64.b64encode(data).decode("ascii") for name, data in pictures.items()}
    return environment.get_template("benchmarks.html.j2").render(
        tables=tables,
        notes={note: _where(points, note) for point in points for note in point.notes},
        shares_cores=any(point.shares_cores for point in points),
        environments=_environments(points),
        methods=methods,
        four_hosts=four_hosts,
        pictures=uris,
        ages=ages,
        alt=ALT,
    )


def _environments(points: Sequence[ScalingPoint]) -> list[tuple[str, dict[str, Any]]]:
    """Return what each cluster's points were measured with, once for each difference."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for point in points:
        facts = {
            **{key: value for key, value in point.environment.items() if key != "time"},
            "device": point.device,
            "threads of a rank": point.threads_per_rank,
            "spark": point.spark_settings.get("spark.master", point.settings.get("master")),
            "horovod": point.horovod_settings,
        }
        facts["spark"] = facts["spark"] and facts["spark"].partition("[")[0]  # slots differ from point to point
        found.setdefault(json.dumps([point.cluster, facts], sort_keys=True, default=str), (point.cluster, facts))
    return list(found.values())


def _where(points: Sequence[ScalingPoint], note: str) -> str:
    """Return which points a note is about, in words."""
    named = [f"{p.cluster} {p.mode} {p.input} × {p.world_size}" for p in points if note in p.notes]
    return ", ".join(dict.fromkeys(named))


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    # No version inside: the same results give the same file.
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()


def _result(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text()) if path.exists() else None
    except ValueError as error:
        raise UserError(f"{path}: {error}", "a result as JSON", "measure it again, or remove it") from None


def _number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def command(
    results: Annotated[Path, typer.Option(help="Folder of the results.", file_okay=False)] = RESULTS,
    out: Annotated[
        Path | None, typer.Option(help="Folder of plots and page; left out: report, in that of the results.")
    ] = None,
) -> None:
    """Draw what was measured."""
    for path in write_report(results, out or results / "report"):
        typer.echo(path)


def main() -> None:
    """Run the command; exit code 2 and one message where the user's input is wrong."""
    run_command(command)


if __name__ == "__main__":
    main()
