"""How ranks come to meet: no probe for gloo beforehand, and an interface on which the driver can be reached.

Gloo: Horovod asks whether it was built in by importing TensorFlow in a forked child of the driver: seconds of every
start, and a fork that can hang where the driver holds TensorFlow itself. A rank without gloo says so. Upstream,
`run_controller` would have to take the caller's word.

Interfaces: Horovod takes any that all tasks have in common. Where all ranks are on one host, its loopback is among
them, and then, in about every second start, the ranks look for the driver on their own host and die ("HTTP GET request
failed too many times"). Upstream, `SparkDriverService.get_common_interfaces` would have to compare with its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from hvdcells.spark.horovod_changes.patching import replaced

Addresses = Mapping[str, Sequence[tuple[str, int]]]
"""Of a service: (address, port) by interface."""


def gloo_not_probed() -> AbstractContextManager[None]:
    """Inside the block, Horovod takes gloo as built in."""
    from horovod.runner import launch

    return replaced(launch, "gloo_built", lambda verbose=False: True)


def reachable_interfaces() -> AbstractContextManager[None]:
    """Inside the block, Horovod chooses among the interfaces on which the driver can be reached."""
    from horovod.spark.driver.driver_service import SparkDriverService

    original = SparkDriverService.get_common_interfaces

    def get_common_interfaces(self: Any) -> set[str]:
        return choose_interfaces(original(self), self.addresses(), self._task_addresses_for_tasks.values())

    return replaced(SparkDriverService, "get_common_interfaces", get_common_interfaces)


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


def _is_loopback(address: str) -> bool:
    return address.startswith("127.")
