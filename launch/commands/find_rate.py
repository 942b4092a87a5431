"""`hvdcells find-rate`: a learning rate to begin with."""

from typing import Annotated

import typer

from hvdcells.experiment.recipes import RECIPES
from launch.terminal.arguments import parse_settings


def find_rate(
    dataset: Annotated[str, typer.Argument(help="Dataset written by `hvdcells etl`: a folder or s3://….")],
    recipe: Annotated[str, typer.Option(help=f"One of: {', '.join(RECIPES)}.")] = "small_cnn",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the recipe, as for `hvdcells train`."),
    ] = None,
    steps: Annotated[int, typer.Option(min=2, help="Steps from the lowest to the highest rate.")] = 100,
    lowest: Annotated[float, typer.Option(help="First rate, for a global batch of 256.")] = 1e-5,
    highest: Annotated[float, typer.Option(help="Last rate.")] = 1.0,
) -> None:
    """Suggest a learning rate: train for some steps, in this process, with a rate that rises until the loss does.

    The suggestion is a tenth of the rate with the lowest loss, for a global batch of 256, as optimizer.learning_rate is
    given. It is a place to begin, not a result: judge a rate by the validation score of whole runs.
    """
    from rich.table import Table

    from hvdcells.data.subset import open_for_training
    from hvdcells.driver.rate_finder import find_rate as find
    from hvdcells.experiment import recipes
    from launch.terminal.console import Console

    experiment = recipes.by_name(recipe).override(parse_settings(settings or []))
    curve = find(open_for_training(dataset, experiment), experiment, num_steps=steps, lowest=lowest, highest=highest)
    console = Console(soft_wrap=True, highlight=False)
    table = Table("learning rate", "averaged loss")
    shown = max(1, len(curve.losses) // 20)
    for rate, loss in list(zip(curve.learning_rates, curve.losses, strict=True))[::shown]:
        table.add_row(f"{rate:.2g}", f"{loss:.4f}")
    console.print(table)
    console.print(f"Suggested: --set optimizer.learning_rate={curve.suggested:.2g}")
