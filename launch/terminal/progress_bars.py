"""The ETL stage's progress on the screen."""

import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from hvdcells.spark.listener import Listener
from launch.terminal.console import Console


class ProgressBars(Listener):
    """Prints facts as lines and stages as progress bars with images done, rate and rejects. Use it in a `with`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("images, {task.fields[rate]:.0f}/s, {task.fields[rejected]} rejected"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = TaskID(0)
        self._began = 0.0
        self._total = 0

    def __enter__(self) -> "ProgressBars":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, markup=False, highlight=False)

    def stage(self, name: str, num_images: int) -> None:
        """Begin a bar."""
        self._began, self._total = time.monotonic(), num_images
        self._task = self._bar.add_task(name, total=num_images, rate=0.0, rejected=0)

    def advance(self, num_done: int, num_rejected: int) -> None:
        """Move the bar."""
        rate = num_done / max(1e-3, time.monotonic() - self._began)
        self._bar.update(self._task, completed=min(num_done, self._total), rate=rate, rejected=num_rejected)
