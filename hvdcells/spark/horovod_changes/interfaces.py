"""Which network interface the ranks meet on: never the loopback, where the driver is on another host.

Horovod takes any of the interfaces that all tasks have in common. Where all ranks are on one host, its loopback is
among them, and then, in about every second start, the ranks look for the driver on their own host and die ("HTTP GET
request failed too many times").
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import wraps

Addresses = Mapping[str, Sequence[tuple[str, int]]]
"""Of a service: (address, port) by interface."""


def choose_interfaces(common: set[str], driver: Addresses, tasks: Iterable[Addresses]) -> set[str]:
    """Return those of the common interfaces of all tasks on which the driver can be met; all if there is none.

    Args:
        common: names of the tasks' common interfaces.
        driver: addresses of the driver.
        tasks: addresses of each task.
    """
    own = {address for addresses in driver.values() for address, _ in addresses}
    met = {address for task in tasks for addresses in task.values() for address, _ in addresses}
    is_elsewhere = any(address not in own and not _is_loopback(address) for address in met)
    usable = {
        name
        for name in common & set(driver)
        if not (is_elsewhere and all(_is_loopback(address) for address, _ in driver[name]))
    }
    return usable or common


def let_horovod_choose_well() -> None:
    """Make Horovod choose among these alone."""
    from horovod.spark.driver.driver_service import SparkDriverService

    original = SparkDriverService.get_common_interfaces
    if hasattr(original, "__wrapped__"):
        return

    @wraps(original)
    def get_common_interfaces(self: SparkDriverService) -> set[str]:
        return choose_interfaces(original(self), self.addresses(), self._task_addresses_for_tasks.values())

    SparkDriverService.get_common_interfaces = get_common_interfaces


def _is_loopback(address: str) -> bool:
    return address.startswith("127.")
