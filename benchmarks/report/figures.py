"""The plots of the benchmark report, one per question. Draw and save them in `hvdcells.scores.plots.styled()`."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator, PercentFormatter

from benchmarks.scaling.point import ScalingPoint, scaling_efficiencies
from hvdcells.scores.plots import GUIDE

COLOURS = ("#1d4ed8", "#c2410c", "#0f766e", "#7c3aed", "#be185d", "#0891b2", "#374151")
MARKERS = "osD^vPX"
TITLES = {
    ("weak", "memory"): "weak scaling, input in memory",
    ("weak", "dataset"): "weak scaling, input from a dataset",
    ("strong", "memory"): "strong scaling, input in memory",
    ("strong", "dataset"): "strong scaling, input from a dataset",
}

Series = list[ScalingPoint]
Draw = Callable[[Axes, Series, str, str], None]


def series_of(points: Sequence[ScalingPoint]) -> list[Series]:
    """Return the points by series, each by number of workers."""
    ordered = sorted(points, key=lambda point: (point.series, point.world_size))
    return [list(group) for _, group in groupby(ordered, key=lambda point: point.series)]


def series_name(series: Series) -> str:
    """Return what tells a series from others of its mode and input."""
    cluster, model, mode, _, batch = series[0].series
    return f"{cluster}: {model}, {'global ' if mode == 'strong' else ''}batch {batch}"


def throughput(points: Sequence[ScalingPoint]) -> Figure:
    """Images per second over all workers, with what perfect scaling of one worker would be."""

    def draw(axes: Axes, series: Series, colour: str, marker: str) -> None:
        workers = [point.world_size for point in series]
        rates = [point.images_per_second for point in series]
        ends = [[s.images_per_second for s in point.samples] or [point.images_per_second] for point in series]
        below = [rate - min(values) for rate, values in zip(rates, ends, strict=True)]
        above = [max(values) - rate for rate, values in zip(rates, ends, strict=True)]
        if workers[0] == 1:
            perfect = [rates[0] * n for n in workers]
            # As an artist it does not stretch the axis: where ranks share cores, it would leave the measured no room.
            axes.add_artist(Line2D(workers, perfect, color=colour, linestyle=":", linewidth=1, alpha=0.8))
        axes.errorbar(workers, rates, (below, above), color=colour, capsize=3, zorder=3)
        _mark(axes, series, rates, colour, marker)

    extra = [Line2D([], [], color=GUIDE, linestyle=":", label="perfect scaling of one worker")]
    return _panels(points, draw, "images/s over all workers", extra)


def efficiency(points: Sequence[ScalingPoint]) -> Figure:
    """Scaling efficiency, and communication efficiency where it was measured."""

    def draw(axes: Axes, series: Series, colour: str, marker: str) -> None:
        found = scaling_efficiencies(series)
        measured = [point for point in series if point.world_size in found]
        values = [found[point.world_size] for point in measured]
        axes.plot([point.world_size for point in measured], values, color=colour)
        _mark(axes, measured, values, colour, marker)
        known = [(point.world_size, point.communication_efficiency) for point in series]
        known = [pair for pair in known if pair[1] is not None]
        if known:
            axes.plot(*zip(*known, strict=True), color=colour, linestyle="--", marker="x", markersize=7, alpha=0.75)
        axes.axhline(1, color=GUIDE, linewidth=1)
        axes.yaxis.set_major_formatter(PercentFormatter(1))

    extra = [
        Line2D([], [], color=GUIDE, label="scaling: total(N) / (N · total(1))"),
        Line2D([], [], color=GUIDE, linestyle="--", marker="x", label="communication: total / the same without it"),
    ]
    return _panels(points, draw, "efficiency", extra)


def cost(points: Sequence[ScalingPoint]) -> Figure | None:
    """US dollars for a million images; None where no price was given."""
    priced = [point for point in points if point.usd_per_million_images is not None]
    if not priced:
        return None

    def draw(axes: Axes, series: Series, colour: str, marker: str) -> None:
        values = [point.usd_per_million_images or 0.0 for point in series]  # those without a price are left out above
        axes.plot([point.world_size for point in series], values, color=colour)
        _mark(axes, series, values, colour, marker)

    return _panels(priced, draw, "USD for a million images", [])


def methods(rows: Sequence[dict[str, Any]]) -> Figure | None:
    """Images per second and seconds to the aimed F1 of each method; None where none ran."""
    ran = [row for row in rows if row["status"] == "ran" and row.get("images_per_second")]
    if not ran:
        return None
    ran.sort(key=lambda row: row["images_per_second"])
    figure = Figure(figsize=(9.5, 1.2 + 0.42 * len(ran)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    names = [row.get("title") or row["name"] for row in ran]
    for axes, key, what in (
        (left, "images_per_second", "images/s of all workers"),
        (right, "seconds_to_f1", "seconds from start to the aimed F1"),
    ):
        values = [row.get(key) for row in ran]
        axes.barh(names, [value or 0 for value in values], color=COLOURS[0], height=0.6)
        longest = max((value for value in values if value), default=1)
        for place, (row, value) in enumerate(zip(ran, values, strict=True)):
            single = [each for each in row.get(f"{key}_values") or [] if each is not None]
            if value and len(single) > 1:
                axes.hlines(place, min(single), max(single), color="#111827", linewidth=1.5)
            end = max([value or 0, *single])
            axes.text(end + 0.02 * longest, place, f"{value:.0f}" if value else "not reached", va="center", fontsize=9)
        axes.set_xlim(0, 1.25 * longest)
        axes.set_xlabel(what)
        axes.grid(visible=False, axis="y")
    return figure


def _mark(axes: Axes, series: Series, values: Sequence[float], colour: str, marker: str) -> None:
    """Mark the points; hollow where ranks share cores."""
    for point, value in zip(series, values, strict=True):
        face = "white" if point.shares_cores else colour
        axes.plot(point.world_size, value, marker, color=colour, markerfacecolor=face, markersize=6.5, zorder=4)


def _panels(points: Sequence[ScalingPoint], draw: Draw, what: str, extra: list[Line2D]) -> Figure:
    """Draw all series, a panel for each mode and input; the same name has the same colour in all."""
    groups: dict[tuple[str, str], list[Series]] = {}
    for series in series_of(points):
        groups.setdefault((series[0].mode, series[0].input), []).append(series)
    kinds = [kind for kind in TITLES if kind in groups]
    names = list(dict.fromkeys(series_name(series) for kind in kinds for series in groups[kind]))
    columns = min(2, len(kinds))
    rows = -(-len(kinds) // columns)
    handles = [Line2D([], [], color=_colour(names, name), marker=_marker(names, name), label=name) for name in names]
    if any(point.shares_cores for point in points):
        hollow = Line2D(
            [], [], color=GUIDE, marker="o", markerfacecolor="white", linestyle="", label="ranks share cores"
        )
        extra = [*extra, hollow]
    handles = [*handles, *extra]
    figure = Figure(figsize=(5.2 * columns, 3.3 * rows + 0.28 * -(-len(handles) // columns)), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey="row")
    for axes, kind in zip(grid.flat[: len(kinds)], kinds, strict=True):
        for series in groups[kind]:
            name = series_name(series)
            draw(axes, series, _colour(names, name), _marker(names, name))
        workers = sorted({point.world_size for series in groups[kind] for point in series})
        if max(workers) > 8:
            axes.set_xscale("log", base=2)
        axes.set_xticks(workers, [str(number) for number in workers])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.tick_params(labelleft=True)
        axes.set_title(TITLES[kind], fontsize=10)
        axes.set_xlabel("workers")
        axes.set_ylabel(what)
    for row in grid:
        row[0].set_ylim(bottom=0)  # once all that share it are drawn
    for axes in grid.flat[len(kinds) :]:  # a row may have a place too many
        axes.set_visible(False)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=9)
    return figure


def _colour(names: list[str], name: str) -> str:
    return COLOURS[names.index(name) % len(COLOURS)]


def _marker(names: list[str], name: str) -> str:
    return MARKERS[names.index(name) % len(MARKERS)]
