"""What a run tells while it works. The stage itself prints nothing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark import Accumulator, SparkContext

_POLL_SECONDS = 0.25


class Listener:
    """Listener of a run; this one is silent."""

    def say(self, text: str) -> None:
        """Tell one fact."""

    def stage(self, name: str, num_images: int) -> None:
        """Begin a stage of work on so many images."""

    def stage_over(self, name: str) -> None:
        """End a stage of work."""

    def advance(self, num_done: int, num_rejected: int) -> None:
        """Tell how many images of the stage are done, and how many of all were rejected."""


class Counts:
    """Images done and rejected, added up by Spark's tasks; the driver hears of a task when it ends."""

    def __init__(self, context: "SparkContext") -> None:
        self.done: Accumulator = context.accumulator(0)
        self.rejected: Accumulator = context.accumulator(0)

    def __call__(self, num_done: int, num_rejected: int) -> None:
        """Count, in a task."""
        self.done.add(num_done)
        self.rejected.add(num_rejected)


@contextmanager
def reported(listener: Listener, counts: Counts, stage: str, num_images: int) -> Iterator[None]:
    """Pass the counts on to the listener while the body runs."""
    over = threading.Event()

    def pass_on() -> None:
        while not over.wait(_POLL_SECONDS):
            listener.advance(counts.done.value, counts.rejected.value)

    listener.stage(stage, num_images)
    thread = threading.Thread(target=pass_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        listener.advance(counts.done.value, counts.rejected.value)
        listener.stage_over(stage)
