"""One rank in this process: no Spark, no second process. For notebooks, tests and small evaluations."""

from collections.abc import Callable
from typing import Any


class InProcess:
    """Runs the function here, as a world of one rank."""

    num_workers = 1

    def check(self) -> None:
        """Nothing can be missing."""

    def run(self, function: Callable[..., Any], argument: Any, logs: str) -> list[Any]:
        """Run `function(argument)` and return its result as that of rank 0; exceptions pass through."""
        return [function(argument)]
