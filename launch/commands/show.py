"""`hvdcells show`: what a dataset holds, and what augmentation makes of it."""

from pathlib import Path
from typing import Annotated

import typer

from hvdcells.errors import UserError
from launch.terminal.arguments import parse_settings


def show(
    dataset: Annotated[str, typer.Argument(help="Dataset written by `hvdcells etl`: a folder or s3://….")],
    augmentation: Annotated[
        str | None,
        typer.Option(metavar="RECIPE", help="Draw a contact sheet of this recipe's augmentation.", show_default=False),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the recipe, as for `hvdcells train`."),
    ] = None,
    out: Annotated[str, typer.Option(help="The contact sheet's file (PNG).")] = "augmentation.png",
) -> None:
    """Print what a dataset holds, from its manifest: splits, classes, subjects, leakage, rejects, size.

    With --augmentation, draw training images as they are and as training changes them, one row per image, instead:
    hvdcells show DATASET --augmentation small_cnn --set augmentation.stain=0.1 --out sheet.png
    """
    from hvdcells.data.dataset import Dataset
    from launch.terminal.console import Console
    from launch.terminal.dataset_tables import print_dataset

    opened, console = Dataset.open(dataset), Console(soft_wrap=True)
    if augmentation is None:
        if settings:
            raise UserError("--set without --augmentation", "both, or neither", "add --augmentation RECIPE")
        print_dataset(opened, console)
        return
    from hvdcells.driver.contact_sheet import describe, draw_contact_sheet
    from hvdcells.experiment import recipes

    if Path(out).suffix.lower() != ".png":
        raise UserError(f"--out {out}", "the name of a .png file", "correct --out")
    experiment = recipes.by_name(augmentation).override(parse_settings(settings or []))
    draw_contact_sheet(opened, experiment, out)
    console.print(f"{describe(experiment.augmentation)}: {out}", markup=False, highlight=False)
