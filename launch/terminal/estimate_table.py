"""An estimate of cost on the screen."""

from rich.table import Table

from launch.aws.estimate import Estimate, EstimateRow
from launch.terminal.console import Console


def print_estimate(estimate: Estimate, console: Console) -> None:
    """Print what each kind of machine costs, and the sum."""
    table = Table(title=f"About what it costs (prices of {estimate.as_of}, {estimate.region})")
    for name in ("machines", "type"):
        table.add_column(name)
    for name in ("count", "market", "hours", "USD per hour", "USD"):
        table.add_column(name, justify="right")
    for row in estimate.rows:
        table.add_row(
            row.role,
            row.instance_type,
            str(row.count),
            row.market,
            f"{row.hours:g}",
            f"{row.usd_per_hour:.3f}",
            _usd(row),
        )
    table.add_section()
    table.add_row("all", "", "", "", "", f"{estimate.usd_per_hour:.3f}", _usd(estimate))
    console.print(table)
    console.print(f"That is {estimate}.", highlight=False, soft_wrap=True)


def print_cost(costs: Estimate, console: Console) -> None:
    """Print what machines that have run have cost: hours of all of a kind together, and the sum."""
    table = Table("machines", "type", "market", title=f"Cost by prices of {costs.as_of}, {costs.region}")
    for name in ("hours", "USD"):
        table.add_column(name, justify="right")
    for row in costs.rows:
        table.add_row(row.role, row.instance_type, row.market, f"{row.hours:.2f}", _usd(row))
    console.print(table)
    without = ", ".join((*costs.missing, "disks", "S3", "transfer and taxes"))
    console.print(f"{'more than' if costs.missing else 'about'} {_usd(costs)} USD, without {without}")


def _usd(costs: Estimate | EstimateRow) -> str:
    """Return a sum, or the range of one with spot machines."""
    return f"{costs.usd:.2f}" if costs.usd == costs.usd_least else f"{costs.usd_least:.2f} to {costs.usd:.2f}"
