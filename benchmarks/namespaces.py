"""Hosts of our own on one machine: network namespaces on a bridge, each with its address, host name and cores.

The bridge is `eth0` of the driver's namespace and every other host's only interface is `eth0` too: Horovod keeps the
names of interfaces that driver and ranks share. Nothing of it is in the machine's own network, so addresses cannot
collide with its routes; and no host reaches further than the bridge.
"""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PREFIX = "hvdcells-"
"""Of the names of all our namespaces."""
DRIVER_NAME = "driver"
DRIVER_ADDRESS = "10.77.0.1"
ETC = Path("/etc/netns")


@dataclass(frozen=True)
class Host:
    """One host: its name, address, and the cores of the machine that its processes may use; none for all."""

    name: str
    address: str
    cores: tuple[int, ...] = ()

    @property
    def namespace(self) -> str:
        """Name of its network namespace."""
        return PREFIX + self.name

    def command(self, *arguments: str) -> list[str]:
        """Return the command that runs another one on this host, in the place of the process it is started as."""
        # unshare: a host name of its own, which ranks are told apart by.
        named = ["unshare", "--uts", "sh", "-c", f'hostname {self.name} && exec "$@"', "sh"]
        pinned = ["taskset", "-c", ",".join(map(str, self.cores))] if self.cores else []
        return ["ip", "netns", "exec", self.namespace, *named, *pinned, *arguments]


DRIVER = Host(DRIVER_NAME, DRIVER_ADDRESS)


def plan_hosts(num_hosts: int, cores_per_host: int) -> list[Host]:
    """Name the hosts and deal the machine's cores out to them in turn; where they do not suffice, hosts share them."""
    available = sorted(os.sched_getaffinity(0))
    return [
        Host(
            f"hv{number + 1}",
            f"10.77.0.{number + 2}",
            tuple(sorted({available[(number * cores_per_host + k) % len(available)] for k in range(cores_per_host)})),
        )
        for number in range(num_hosts)
    ]


def why_not_allowed() -> str | None:
    """Return why hosts cannot be made here; None where they can."""
    if not sys.platform.startswith("linux"):
        return "this is not Linux"
    missing = [name for name in ("ip", "unshare", "taskset") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} missing (Debian: apt-get install iproute2 util-linux)"
    probe = f"{PREFIX}probe-{os.getpid()}"
    done = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
    if done.returncode == 0:
        done = subprocess.run(
            ["ip", "-n", probe, "link", "add", "eth0", "type", "bridge"], capture_output=True, text=True
        )
        subprocess.run(["ip", "netns", "delete", probe], capture_output=True)
    if done.returncode == 0:
        done = subprocess.run(["unshare", "--uts", "true"], capture_output=True, text=True)
    if done.returncode == 0:
        return None
    return "network namespaces are not allowed: " + (done.stderr.strip().splitlines() or ["no reason given"])[-1]


def make_hosts(hosts: list[Host]) -> None:
    """Make the driver's namespace with the bridge, and that of each host, joined to it."""
    names = "127.0.0.1 localhost\n" + "".join(f"{host.address} {host.name}\n" for host in (DRIVER, *hosts))
    for host in (DRIVER, *hosts):
        folder = ETC / host.namespace
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "hosts").write_text(names)  # `ip netns exec` shows it as /etc/hosts
        _ip("netns", "add", host.namespace)
    _ip("-n", DRIVER.namespace, "link", "add", "eth0", "type", "bridge")
    for host in hosts:
        _ip("-n", host.namespace, "link", "add", "eth0", "type", "veth", "peer", host.name, "netns", DRIVER.namespace)
        _ip("-n", DRIVER.namespace, "link", "set", host.name, "master", "eth0", "up")
    for host in (DRIVER, *hosts):
        _ip("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", "eth0")
        _ip("-n", host.namespace, "link", "set", "eth0", "up")
        _ip("-n", host.namespace, "link", "set", "lo", "up")


def remove_hosts() -> list[str]:
    """End all processes of our namespaces and remove them, whoever made them; return their names."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    names = [line.split()[0] for line in listed.splitlines() if line.startswith(PREFIX)]
    for name in names:
        pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split()
        for pid in map(int, pids):
            if pid != os.getpid():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    for name in names:  # the interfaces go with them
        subprocess.run(["ip", "netns", "delete", name], capture_output=True)
    for folder in ETC.glob(f"{PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        ETC.rmdir()  # unless others use it
    return names


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
