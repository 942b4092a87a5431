"""When a Spark task of Horovod ends: with its rank, not three seconds later.

Horovod keeps a task for three seconds from the start of its command, so that the driver can ask how it ended. But it
starts that clock when the command has ended (horovod 0.28.1, `SparkTaskService._run_command`), so every run waits for
them in vain.
"""

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any


def let_tasks_end_with_their_rank() -> None:
    """Make Horovod's tasks, in their own processes, count from the start."""
    from horovod.spark import runner

    original = runner._make_mapper
    if hasattr(original, "__wrapped__"):
        return

    @wraps(original)
    def make_mapper(*of_job: Any) -> Callable[[int, Any], Iterator[Any]]:
        return _counting_from_the_start(original(*of_job))

    runner._make_mapper = make_mapper


def _counting_from_the_start(mapper: Callable[[int, Any], Iterator[Any]]) -> Callable[[int, Any], Iterator[Any]]:
    # Functions within a function travel as they are: by name, each task would import all of this package first.
    def run_task(index: int, rows: Any) -> Iterator[Any]:
        from horovod.runner.common.service.task_service import BasicTaskService
        from horovod.runner.common.util.timeout import Timeout
        from horovod.spark.task.task_service import SparkTaskService

        def run_command(self: Any, *command: Any, **options: Any) -> None:
            if self._minimum_command_lifetime_s is not None:
                self._minimum_command_lifetime = Timeout(self._minimum_command_lifetime_s, "")
            BasicTaskService._run_command(self, *command, **options)

        SparkTaskService._run_command = run_command
        yield from mapper(index, rows)

    return run_task
