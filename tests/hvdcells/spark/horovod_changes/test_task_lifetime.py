"""How long Horovod's Spark tasks live. Where a test says "as it is", Horovod unchanged still needs the change."""

import io
import subprocess
import sys
import threading
import weakref

import cloudpickle
import psutil
import pytest
from horovod.runner.common.service.task_service import BasicTaskService
from horovod.runner.common.util import safe_shell_exec
from horovod.spark import runner
from horovod.spark.task.task_service import SparkTaskService

from hvdcells.spark.horovod_changes.task_lifetime import ending_with_its_rank, tasks_end_with_their_rank

pytestmark = pytest.mark.tensorflow


def as_it_is(mapper):
    return mapper


class Kept(io.StringIO):
    """A stream that can be read after it was closed."""

    def close(self):
        pass


def in_a_task(change, work):
    """Do some work where a task does its own; return what comes of it."""

    def mapper(index, rows):
        yield work()

    (result,) = change(mapper)(0, [])
    return result


def task_service(shortest_seconds):
    """Horovod's own, without its server."""
    service = object.__new__(SparkTaskService)
    service._minimum_command_lifetime_s, service._minimum_command_lifetime = shortest_seconds, None
    return service


@pytest.mark.parametrize(
    ("change", "seconds", "is_counted"),
    [(as_it_is, 3, False), (ending_with_its_rank, 3, True), (ending_with_its_rank, None, False)],
)
def test_horovod_as_it_is_counts_from_the_end_of_a_command_and_changed_from_its_start(
    change, seconds, is_counted, monkeypatch
):
    counted = []
    monkeypatch.setattr(
        BasicTaskService, "_run_command", lambda self, *_: counted.append(self._minimum_command_lifetime is not None)
    )
    in_a_task(change, lambda: task_service(seconds)._run_command("true", {}, threading.Event()))
    assert counted == [is_counted]


@pytest.mark.parametrize(("change", "is_held"), [(as_it_is, True), (ending_with_its_rank, False)])
def test_horovod_as_it_is_holds_semaphores_after_a_command_and_changed_it_does_not(change, is_held, monkeypatch):
    events, create_event = [], safe_shell_exec._create_event

    def create_and_note(context):
        event = create_event(context)
        events.append(weakref.ref(event))
        return event

    monkeypatch.setattr(safe_shell_exec, "_create_event", create_and_note)
    service, out, error = task_service(3), Kept(), Kept()
    in_a_task(change, lambda: service._run_command("echo done; exit 3", {}, threading.Event(), out, error, 0, False))
    assert (out.getvalue(), error.getvalue()) == ("[0]<stdout>:done\n", "")
    assert service.command_exit_code() == 3
    assert [event() is not None for event in events] == [is_held]


def test_a_command_is_aborted_as_before():
    """Otherwise it takes its 600 seconds, longer than a test may."""
    abort = threading.Event()

    class AbortsAtFirstWord(Kept):
        def write(self, text):
            abort.set()
            return super().write(text)

    out = AbortsAtFirstWord()
    in_a_task(ending_with_its_rank, lambda: task_service(None)._run_command("echo $$; sleep 600", {}, abort, out))
    shell = int(out.getvalue())
    assert not psutil.pid_exists(shell) or psutil.Process(shell).status() == psutil.STATUS_ZOMBIE


def test_tasks_are_sent_horovods_own_mapper_within_ours_and_import_nothing_of_ours(monkeypatch):
    monkeypatch.setattr(runner, "_make_mapper", lambda *of_job: lambda index, rows: iter([(*of_job, index)]))
    with tasks_end_with_their_rank():
        sent = cloudpickle.dumps(runner._make_mapper("driver", "settings"))
    words = "import cloudpickle, sys; mapper = cloudpickle.load(sys.stdin.buffer); "
    words += "print(list(mapper(3, [])), 'hvdcells' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", words], input=sent, capture_output=True, check=True).stdout
    assert printed.decode().split("\n")[0] == "[('driver', 'settings', 3)] False"


def test_a_process_that_spark_uses_again_has_horovod_as_it_was():
    before = SparkTaskService._run_command, safe_shell_exec.on_event
    inside = in_a_task(ending_with_its_rank, lambda: (SparkTaskService._run_command, safe_shell_exec.on_event))
    assert not set(inside) & set(before)
    assert (SparkTaskService._run_command, safe_shell_exec.on_event) == before
