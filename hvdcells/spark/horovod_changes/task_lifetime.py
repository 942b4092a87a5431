"""How long a Spark task of Horovod lives: as long as its rank, and then nothing of it is left.

Clock: Horovod keeps a task for three seconds from the start of its command, so that the driver can ask how it ended.
But it starts that clock when the command has ended, so every job waits for them in vain. Upstream,
`SparkTaskService._run_command` would have to start it before.

Watchers: the threads that wait for the order to abort a command look up once a second, and hold the five semaphores of
a `multiprocessing.Event` until then. The Python of a Spark task does not exit, it is killed, and where that second is
not over, Python's resource tracker prints "There appear to be 5 leaked semaphore objects". Upstream,
`safe_shell_exec.execute` would have to end and join the threads it has started.

Streams: where a rank is ended, Horovod closes its streams first, and the threads that read them die with a trace when
the rank says one thing more. Upstream, `prefix_connection` would have to end when its stream is closed.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from hvdcells.spark.horovod_changes.patching import replaced

Mapper = Callable[[int, Any], Iterator[Any]]
"""What Spark runs in a task: index of the task and its rows, to results."""


def tasks_end_with_their_rank() -> AbstractContextManager[None]:
    """Inside the block, Horovod sends Spark tasks that count from the start of their command and leave no watcher."""
    from horovod.spark import runner

    original = runner._make_mapper

    def make_mapper(*of_job: Any) -> Mapper:
        return ending_with_its_rank(original(*of_job))

    return replaced(runner, "_make_mapper", make_mapper)


def ending_with_its_rank(mapper: Mapper) -> Mapper:
    """Return a mapper that changes Horovod in the process of its task while it runs.

    It travels to executors as it is: functions within a function need no import of this package there.
    """

    def run_task(index: int, rows: Any) -> Iterator[Any]:
        import threading

        from horovod.runner.common.service.task_service import BasicTaskService
        from horovod.runner.common.util import safe_shell_exec
        from horovod.runner.common.util.timeout import Timeout
        from horovod.spark.task.task_service import SparkTaskService

        original_on_event, original_run_command = safe_shell_exec.on_event, SparkTaskService._run_command
        watchers = []

        def on_event(*arguments: Any, **options: Any) -> Any:
            watchers.append(original_on_event(*arguments, **options))
            return watchers[-1]

        def run_command(self: Any, command: Any, environment: Any, abort: Any, *streams: Any) -> None:
            if self._minimum_command_lifetime_s is not None:
                self._minimum_command_lifetime = Timeout(self._minimum_command_lifetime_s, "")
            try:
                BasicTaskService._run_command(self, command, environment, abort, *streams)
            finally:
                abort.set()  # the command has ended: this wakes who waits for it
                for watcher in watchers:
                    watcher.join()

        original_excepthook = threading.excepthook

        def excepthook(caught: Any) -> None:
            if str(caught.exc_value) != "Pipe is closed":
                original_excepthook(caught)

        safe_shell_exec.on_event, SparkTaskService._run_command = on_event, run_command
        threading.excepthook = excepthook
        try:
            yield from mapper(index, rows)
        finally:
            safe_shell_exec.on_event, SparkTaskService._run_command = original_on_event, original_run_command
            threading.excepthook = original_excepthook

    return run_task
