"""Where the ranks meet the driver."""

import pytest

from hvdcells.spark.horovod_changes.interfaces import choose_interfaces, let_horovod_choose_well

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


@pytest.mark.tensorflow
def test_horovod_asks_for_it_and_is_changed_once():
    from horovod.spark.driver.driver_service import SparkDriverService

    let_horovod_choose_well()
    first = SparkDriverService.get_common_interfaces
    let_horovod_choose_well()
    assert SparkDriverService.get_common_interfaces is first

    service = SparkDriverService(1, 1, None, (), {}, b"key", None)
    try:
        service._task_addresses_for_tasks = {0: {"lo": [("127.0.0.1", 2)], "eth9": [("10.9.9.9", 2)]}}
        service.addresses = lambda: {"lo": [("127.0.0.1", 1)], "eth9": [("10.9.9.1", 1)]}
        assert service.get_common_interfaces() == {"eth9"}
    finally:
        service.shutdown()
