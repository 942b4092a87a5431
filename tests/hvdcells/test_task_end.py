import cloudpickle
import pytest
from horovod.runner.common.service.task_service import BasicTaskService
from horovod.spark import runner
from horovod.spark.task.task_service import SparkTaskService

from hvdcells.backends import task_end


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
    task_end._count_from_the_start()
    service._run_command("true", {}, None)
    assert counted == [is_counted]


def test_tasks_get_horovods_own_mapper_within_ours(horovod_as_it_is):
    horovod_as_it_is.setattr(runner, "_make_mapper", lambda *of_job: lambda index, rows: iter([(*of_job, index)]))
    task_end.let_tasks_end_with_their_rank()
    task_end.let_tasks_end_with_their_rank()  # of the next run in the same process
    mapper = cloudpickle.loads(cloudpickle.dumps(runner._make_mapper("driver", "settings")))
    assert mapper.func is task_end._run_task
    assert not isinstance(mapper.args[0], type(mapper))
    assert list(mapper(3, [])) == [("driver", "settings", 3)]
