"""`hvdcells report`: a run as one HTML page."""

from typing import Annotated

import typer


def report(run: Annotated[str, typer.Argument(help="A run directory, finished or not.")]) -> None:
    """Write the report of a run: one HTML file, RUN/report.html, that needs nothing beside it.

    It shows scores with intervals, confusion matrix, ROC, calibration, every subject, the worst images, the curves of
    training, where the time went, and what the run was made of. `train` and `evaluate` write it by themselves.
    """
    from hvdcells.report import write_report
    from launch.terminal.console import Console

    Console(highlight=False).print(f"Report: {write_report(run)}", soft_wrap=True, markup=False)
