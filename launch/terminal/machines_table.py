"""The machines that EMR offers, on the screen."""

from rich.table import Table

from launch.clusters.instances import Catalogue
from launch.emr.machines import Offered
from launch.terminal.console import Console


def print_machines(offered: Offered, table: Catalogue, release: str, console: Console) -> None:
    """Print each machine with its sizes and what an hour of it costs under EMR, and what is left out."""
    shown = Table(title=f"Machines of {release} (prices of {table.as_of}, {table.region})")
    shown.add_column("type")
    for name in ("cores", "GiB", "GPUs", "GiB of a GPU", "USD per hour"):
        shown.add_column(name, justify="right")
    for name, machine in offered.known.items():
        gpus = f"{machine.num_gpus} {machine.gpu}" if machine.num_gpus else ""
        memory = f"{machine.gpu_memory_gib:g}" if machine.num_gpus else ""
        price = table.known_usd_per_hour(name, "emr")
        usd = "no source" if not price.most else f"{price.most:.3f}" + " + EMR" * bool(price.missing)
        shown.add_row(name, str(machine.vcpus), f"{machine.memory_gib:g}", gpus, memory, usd)
    console.print(shown)
    console.print("+ EMR: EMR's surcharge comes on top, of which the table has no source.")
    if offered.not_offered:
        console.print(f"Not offered there: {', '.join(offered.not_offered)}.")
    console.print(f"EMR offers {offered.num_others} more types; a table of your own can have them (--prices FILE).")
