"""How ranks come to meet. Where a test says "as it is", Horovod unchanged still needs the change."""

import subprocess
import sys

import pytest
from horovod.spark.driver.driver_service import SparkDriverService

from hvdcells.spark.horovod_changes.rendezvous import choose_interfaces, reachable_interfaces

pytestmark = pytest.mark.tensorflow

DRIVER = {"lo": [("127.0.0.1", 1)], "eth0": [("10.0.0.1", 1)]}


def task(last: int, *more: str) -> dict:
    return {"lo": [("127.0.0.1", 2)], "eth0": [(f"10.0.0.{last}", 2)], **{name: [("172.17.0.1", 2)] for name in more}}


def test_ranks_of_one_other_host_do_not_meet_on_their_loopback():
    assert choose_interfaces({"lo", "eth0"}, DRIVER, [task(2), task(2)]) == {"eth0"}


def test_on_the_drivers_own_host_all_interfaces_will_do():
    assert choose_interfaces({"lo", "eth0"}, DRIVER, [task(1)]) == {"lo", "eth0"}
    assert choose_interfaces({"lo"}, {"lo": [("127.0.0.1", 1)]}, [{"lo": [("127.0.0.1", 2)]}]) == {"lo"}


def test_interfaces_that_the_driver_lacks_are_left_out():
    assert choose_interfaces({"eth0", "docker0"}, DRIVER, [task(2, "docker0"), task(3, "docker0")]) == {"eth0"}


def test_without_any_better_one_horovods_choice_stands():
    assert choose_interfaces({"ens5"}, DRIVER, [{"ens5": [("10.0.0.2", 2)]}]) == {"ens5"}


@pytest.fixture
def driver_service():
    """Horovod's own, told of a task on another host."""
    service = SparkDriverService(1, 1, None, (), {}, b"key", None)
    service._task_addresses_for_tasks = {0: {"lo": [("127.0.0.1", 2)], "eth9": [("10.9.9.9", 2)]}}
    service.addresses = lambda: {"lo": [("127.0.0.1", 1)], "eth9": [("10.9.9.1", 1)]}
    yield service
    service.shutdown()


def test_horovod_as_it_is_takes_the_loopback_of_another_host(driver_service):
    assert driver_service.get_common_interfaces() == {"lo", "eth9"}


def test_horovod_asks_for_reachable_interfaces(driver_service):
    with reachable_interfaces():
        assert driver_service.get_common_interfaces() == {"eth9"}


FORKS = """
import contextlib, os, sys, types
from hvdcells.spark.horovod_changes.rendezvous import gloo_not_probed
from horovod.runner import launch

# What the forked child imports: TensorFlow would take seconds.
sys.modules["horovod.tensorflow"] = types.SimpleNamespace(gloo_built=lambda: True)
forks, ran = [], []
os.register_at_fork(before=lambda: forks.append("fork"))
with CHANGE():
    launch.run_controller(True, lambda: ran.append("gloo"), False, None, False, None, 0)
print(*forks, *ran)
"""


@pytest.mark.parametrize(("change", "done"), [("contextlib.nullcontext", "fork gloo"), ("gloo_not_probed", "gloo")])
def test_horovod_as_it_is_forks_the_driver_to_ask_for_gloo_and_changed_it_does_not(change, done):
    command = [sys.executable, "-c", FORKS.replace("CHANGE", change)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == done
