import subprocess
import sys

import cloudpickle
import pytest
from horovod.runner.common.service.task_service import BasicTaskService
from horovod.spark import runner
from horovod.spark.task.task_service import SparkTaskService

from hvdcells.spark.horovod_changes import task_end

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def horovod_as_it_is(monkeypatch):
    """Horovod's functions, put back after the test."""
    monkeypatch.setattr(runner, "_make_mapper", runner._make_mapper)
    monkeypatch.setattr(SparkTaskService, "_run_command", SparkTaskService._run_command)
    return monkeypatch


@pytest.mark.parametrize(("seconds", "is_counted"), [(3, True), (None, False)])
def test_the_shortest_life_of_a_task_is_counted_from_the_start_of_its_command(horovod_as_it_is, seconds, is_counted):
    counted = []
    horovod_as_it_is.setattr(
        BasicTaskService, "_run_command", lambda self, *_: counted.append(self._minimum_command_lifetime is not None)
    )
    service = object.__new__(SparkTaskService)
    service._minimum_command_lifetime_s, service._minimum_command_lifetime = seconds, None
    list(task_end._counting_from_the_start(lambda index, rows: iter([]))(0, []))
    service._run_command("true", {}, None)
    assert counted == [is_counted]


def test_tasks_are_sent_horovods_own_mapper_within_ours_and_import_nothing_of_ours(horovod_as_it_is):
    horovod_as_it_is.setattr(runner, "_make_mapper", lambda *of_job: lambda index, rows: iter([(*of_job, index)]))
    task_end.let_tasks_end_with_their_rank()
    wrapped = runner._make_mapper
    task_end.let_tasks_end_with_their_rank()  # of the next run in the same process
    assert runner._make_mapper is wrapped
    sent = cloudpickle.dumps(wrapped("driver", "settings"))
    words = "import cloudpickle, sys; mapper = cloudpickle.load(sys.stdin.buffer); "
    words += "print(list(mapper(3, [])), 'hvdcells' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", words], input=sent, capture_output=True, check=True).stdout
    assert printed.decode().split("\n")[0] == "[('driver', 'settings', 3)] False"
