"""One rank in this process: no Spark, no second process. For notebooks, tests and small evaluations."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hvdcells.data.dataset import Dataset
from hvdcells.spark.backends.entry import call_entry


class InProcess:
    """Runs the entry here, as a world of one rank."""

    num_workers = 1

    def check(self) -> None:
        """Nothing can be missing."""

    @contextmanager
    def ready(self, dataset: Dataset | None = None, run: str | None = None) -> Iterator[None]:
        """Nothing has to be held ready."""
        yield

    def wait_again(self, most: int, fewest: int, seconds: float | None = None) -> None:
        """Nothing has to be waited for."""

    def run(self, entry: str, argument: Any, logs: str) -> list[Any]:
        """Call the entry and return its result as that of rank 0; exceptions pass through."""
        return [call_entry(entry, argument)]
