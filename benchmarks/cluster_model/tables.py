"""The model's answers as tables on the screen."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.cluster_model.advice import Job, Offer
from benchmarks.cluster_model.measured import ClusterFit, MeasuredPoint
from benchmarks.cluster_model.published import Comparison
from benchmarks.cluster_model.step import Prediction
from launch.clusters.instances import Catalogue


def print_predictions(title: str, predictions: list[Prediction], console: Console) -> None:
    """Print one row per number of GPUs."""
    table = _table(title, "GPUs", "images/s", "efficiency", "step (ms)", "waiting", "reducing", "input")
    for row in predictions:
        table.add_row(
            str(row.num_gpus),
            f"{row.images_per_second:,.0f}",
            f"{row.efficiency:.1%}",
            *(
                f"{1000 * seconds:.1f}"
                for seconds in (row.step_seconds, row.waiting_seconds, row.exposed_seconds, row.input_seconds)
            ),
        )
    console.print(table)
    console.print(
        "In ms a step: waiting for the slowest rank, reducing after the end of back-propagation, waiting for input."
    )


def print_comparisons(of: str, comparisons: Sequence[Comparison], console: Console) -> None:
    """Print published and predicted efficiencies."""
    title = f"Published and predicted scaling efficiency: {of}"
    table = _table(title, "model", "GPUs", "published", "predicted", "points", "")
    for row in comparisons:
        table.add_row(
            row.trained,
            str(row.num_gpus),
            f"{row.published:.1%}",
            f"{row.predicted:.1%}",
            f"{row.error_points:+.1f}",
            "seen" if row.calibrated else "predicted",
        )
    console.print(table)


def print_fit(
    cluster: str, fitted: ClusterFit, points: list[MeasuredPoint], max_fitted_ranks: int, console: Console
) -> None:
    """Print measured and predicted steps, and the constants behind them."""
    table = _table(
        f"Measured and predicted images/s: {cluster}",
        "model",
        "reads",
        "ranks",
        "batch",
        "measured",
        "predicted",
        "error",
        "",
    )
    for point in points:
        predicted = point.world_size * point.batch_size_per_rank / fitted.step_seconds(point)
        table.add_row(
            point.model,
            point.input,
            str(point.world_size),
            str(point.batch_size_per_rank),
            f"{point.images_per_second:.1f}",
            f"{predicted:.1f}",
            f"{predicted / point.images_per_second - 1:+.1%}",
            "seen" if point.world_size <= max_fitted_ranks else "predicted",
        )
    console.print(table)
    link = fitted.link
    console.print(
        f"α {link.latency_seconds * 1e6:.0f} µs a round, B {link.bytes_per_second / 1e6:.0f} MB/s, jitter "
        f"{fitted.jitter:.1%}, each further busy core of a machine {fitted.core_sharing:+.1%} on a step."
    )


def print_larger(fitted: ClusterFit, alone: list[MeasuredPoint], rank_counts: list[int], console: Console) -> None:
    """Print what the fit says of more ranks, each on a machine like the measured one, over links like the measured."""
    table = _table(
        "More machines, one rank each", "model", "reads", "batch", *(f"{count} ranks" for count in rank_counts)
    )
    for point in alone:
        efficiencies = (fitted.efficiency(point, count) for count in rank_counts)
        table.add_row(
            point.model, point.input, str(point.batch_size_per_rank), *(f"{share:.0%}" for share in efficiencies)
        )
    console.print(table)


def print_offers(frontier: list[Offer], chosen: Offer, job: Job, catalogue: Catalogue, console: Console) -> None:
    """Print the clusters that no other one beats in time and money, the chosen one marked."""
    market = "spot" if job.spot else "on demand"
    table = _table(
        f"{job.num_images:,} images, {job.epochs} epochs, {job.service}, {market}",
        *("", "cluster", "GPUs", "batch", "images/s", "eff.", "hours", "USD"),
    )
    for offer in _around(frontier, chosen):
        table.add_row(
            "→" if offer == chosen else "",
            f"{offer.num_hosts} × {offer.instance}",
            f"{offer.num_gpus} {offer.gpu}",
            f"{offer.global_batch:,}",
            f"{offer.images_per_second:,.0f}",
            f"{offer.efficiency:.0%}",
            f"{offer.hours:.2f}",
            f"{offer.usd:,.2f}",
            style="bold" if offer == chosen else None,
        )
    console.print(table)
    console.print(
        f"Prices of {catalogue.as_of}, {catalogue.region}. Hours and USD hold {job.start_up_seconds / 60:g} minutes of "
        "start-up; ETL, disks, S3 and evaluation are not in them. The rate of one GPU was given or published, not "
        "measured here; as many epochs are taken at every global batch.",
        style="dim",
    )


def _around(frontier: list[Offer], chosen: Offer, num_neighbours: int = 4) -> list[Offer]:
    """Return the chosen offer, some before and after it, and both ends."""
    position = frontier.index(chosen)
    near = range(max(0, position - num_neighbours), min(len(frontier), position + num_neighbours + 1))
    return [frontier[number] for number in sorted({0, *near, len(frontier) - 1})]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for column in columns:
        is_text = column in ("", "model", "reads", "cluster")
        table.add_column(column, justify="left" if is_text else "right", no_wrap=column in ("model", "cluster"))
    return table
