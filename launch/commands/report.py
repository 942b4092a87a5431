"""`hvdcells report`: a run as one HTML page."""

from typing import Annotated

import typer


def report(
    run: Annotated[str, typer.Argument(help="A run directory, finished or not.")],
    dataset: Annotated[
        str | None,
        typer.Option(help="Where its dataset is, if not on the same disk or in the same bucket.", show_default=False),
    ] = None,
) -> None:
    """Write the report of a run: one HTML file, RUN/report.html, that needs nothing beside it.

    It shows scores with intervals, confusion matrix, ROC, calibration, every subject, the worst images, the curves of
    training, where the time went, and what the run was made of. `train` and `evaluate` write it by themselves.
    """
    from hvdcells import RunDirectory, storage
    from hvdcells.report import write_report
    from launch.terminal.console import Console

    directory = RunDirectory.at(run).following(*[storage.absolute(place) for place in [dataset] if place])
    Console(highlight=False).print(f"Report: {write_report(directory)}", soft_wrap=True, markup=False)
