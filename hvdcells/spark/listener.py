"""What a run tells while it works. The stage itself prints nothing."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_POLL_SECONDS = 0.25

CountImages = Callable[[int, int], None]
"""Told, in a task, of images done and images rejected since it was told last."""


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


@contextmanager
def counted_stage(spark: "SparkSession", listener: Listener, name: str, num_images: int) -> Iterator[CountImages]:
    """Tell the listener of a stage of work while the body runs.

    Yields:
        What the stage's tasks count their images with. Spark adds them up; the driver hears of a task when it ends.
    """
    done, rejected = spark.sparkContext.accumulator(0), spark.sparkContext.accumulator(0)
    over = threading.Event()

    def count(num_done: int, num_rejected: int) -> None:
        done.add(num_done)
        rejected.add(num_rejected)

    def pass_on() -> None:
        while not over.wait(_POLL_SECONDS):
            listener.advance(done.value, rejected.value)

    listener.stage(name, num_images)
    thread = threading.Thread(target=pass_on, daemon=True)
    thread.start()
    try:
        yield count
    finally:
        over.set()
        thread.join()
        listener.advance(done.value, rejected.value)
        listener.stage_over(name)
