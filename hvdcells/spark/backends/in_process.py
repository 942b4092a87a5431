"""One rank in this process: no Spark, no second process. For notebooks, tests and small evaluations."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hvdcells.data.dataset import Dataset


class InProcess:
    """Runs the function here, as a world of one rank."""

    num_workers = 1

    def check(self) -> None:
        """Nothing can be missing."""

    @contextmanager
    def ready(self, dataset: Dataset | None = None, run: str | None = None) -> Iterator[None]:
        """Nothing has to be held ready."""
        yield

    def run(self, function: Callable[..., Any], argument: Any, logs: str) -> list[Any]:
        """Run `function(argument)` and return its result as that of rank 0; exceptions pass through."""
        return [function(argument)]
