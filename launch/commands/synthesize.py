"""`hvdcells synthesize`: demonstration cells to try everything with."""

from typing import Annotated

import typer
from rich.table import Table

from etl.demo_cells.marker import Difficulty
from launch.terminal.console import Console


def synthesize(
    out: Annotated[str, typer.Argument(help="Folder (or s3:// address) to write to; empty or missing.")],
    subjects: Annotated[int, typer.Option(help="Made-up subjects: at least 8, or 12 for four classes.")] = 24,
    images_per_subject: Annotated[int, typer.Option(help="Cells of each subject.")] = 20,
    seed: Annotated[int, typer.Option(help="Draws another set; the same seed writes the same files.")] = 0,
    classes: Annotated[
        int, typer.Option(help="2: as C-NMC 2019. 4: benign cells and three stages, of subjects with several stages.")
    ] = 2,
    difficulty: Annotated[
        Difficulty,
        typer.Option(
            help="hard: cells between two kinds, 2 % wrong labels, a stain for each hospital, debris, to tell "
            "recipes apart."
        ),
    ] = "easy",
    workers: Annotated[int | None, typer.Option(help="Pictures painted at once; by default one a core.")] = None,
) -> None:
    """Write synthetic demonstration cells: in the layout of the C-NMC 2019 data set, or of four classes.

    The images are drawn by a program, not medical data: try the software with them, never judge a model by them.

    Running the same command again completes a set that was interrupted.
    """
    from etl.demo_cells.generator import synthesize as write_cells

    summary = write_cells(out, subjects, images_per_subject, seed, workers, num_classes=classes, difficulty=difficulty)
    console = Console(soft_wrap=True)
    marker = summary.marker
    if summary.num_written:
        console.print(f"Wrote {summary.num_written} synthetic images of {marker.num_subjects} subjects.")
    else:
        console.print(f"The same {marker.num_images} synthetic images are there already; nothing was written.")
    table = Table("part", "images")
    for part, images in sorted(summary.images_per_part.items()):
        table.add_row(part, str(images))
    console.print(table)
    console.print(", ".join(f"{name}: {images}" for name, images in sorted(summary.images_per_class.items())))
    console.print(marker.notice, style="bold yellow")
    console.print(f"Next: hvdcells etl {summary.location} DATASET", markup=False, highlight=False)
