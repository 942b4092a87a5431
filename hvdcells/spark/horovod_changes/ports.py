"""Who reaches the ports that Horovod opens for a job, and how much they may send.

Addresses: Horovod's services listen on all interfaces, also where driver and ranks share one machine. Upstream,
`find_port` would have to take the address of the interfaces that were chosen.

Messages: a service reads a message whole, up to 2 GB, or without end where its size is below zero, before it looks at
the digest that says who has sent it. Upstream, `Wire.read` would have to have a limit.

Rendezvous: where ranks tell each other their addresses anybody may write and delete, and a HEAD request tells of files
in the driver's folder. Ranks ask there by Horovod's C++, which has no way to give a token but the address itself: the
token is the first part of its path. It follows from the job's secret key, which Spark brings to the ranks' tasks.
Upstream, `RendezvousServer` and `HTTPStore` would have to share a token.
"""

import hashlib
import hmac
import os
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from hvdcells.spark.horovod_changes.patching import replaced
from hvdcells.spark.horovod_changes.task_lifetime import Mapper

LOOPBACK = "127.0.0.1"
MOST_MESSAGE_BYTES = 2**26
"""Of what driver, tasks and ranks tell each other: an entry and its arguments, or what it returns."""
MOST_VALUE_BYTES = 2**22
"""Of what a rank tells all others at the rendezvous: 200 bytes for each of them."""
ADDRESS, PORT = "HOROVOD_GLOO_RENDEZVOUS_ADDR", "HOROVOD_GLOO_RENDEZVOUS_PORT"


def loopback_names() -> set[str]:
    """Return the names of this machine's loopback interfaces."""
    from horovod.runner.util.network import get_local_intfs

    names: set[str] = get_local_intfs()
    return names


@contextmanager
def served_at(host: str) -> Iterator[None]:
    """Inside the block, services and rendezvous of Horovod's in this process listen at one address alone."""
    from horovod.runner.common.util import network
    from horovod.runner.http import http_server

    original = network.find_port

    def find_port(make_server: Callable[[tuple[str, int]], Any]) -> tuple[Any, int]:
        found: tuple[Any, int] = original(lambda address: make_server((host, address[1])))
        return found

    with replaced(network, "find_port", find_port), replaced(http_server, "find_port", find_port):
        yield


@contextmanager
def bounded_messages(most_bytes: int = MOST_MESSAGE_BYTES) -> Iterator[None]:
    """Inside the block, Horovod's services in this process close a connection that announces a longer message."""
    from horovod.runner.common.util.network import Wire

    original = Wire.read

    class Bounded:
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def read(self, size: int) -> Any:
            if not 0 <= size <= most_bytes:
                raise EOFError(f"a message of {size:,} bytes where {most_bytes:,} are allowed")
            return self._stream.read(size)

    with replaced(Wire, "read", lambda self, stream: original(self, Bounded(stream))):
        yield


@contextmanager
def tasks_guard_their_ports(is_local: bool) -> Iterator[None]:
    """Inside the block, the tasks that Horovod sends to Spark have `bounded_messages`, and `served_at` if local."""
    from horovod.spark import runner

    original = runner._make_mapper
    with replaced(runner, "_make_mapper", lambda *of_job: guarding_its_ports(original(*of_job), is_local)):
        yield


def guarding_its_ports(mapper: Mapper, is_local: bool) -> Mapper:
    """Return a mapper that changes Horovod in the process of its task while it runs."""

    def run_task(index: int, rows: Any) -> Iterator[Any]:
        with bounded_messages():
            if is_local:
                with served_at(LOOPBACK):
                    yield from mapper(index, rows)
            else:
                yield from mapper(index, rows)

    return run_task


@contextmanager
def rendezvous_by_token() -> Iterator[None]:
    """Inside the block, Horovod's rendezvous answers those alone who have a job's secret key; see `carry_token`."""
    from horovod.runner import gloo_run
    from horovod.runner.common.util import secret

    key = secret.make_secret_key()
    token, original = _token_of(key), gloo_run.RendezvousServer
    handler_by_default = original.start.__defaults__[0]

    class Guarded(original):  # type: ignore[valid-type,misc]
        def start(self, handler_cls: Any = handler_by_default) -> Any:
            return super().start(_answering(token, handler_cls))

    with replaced(secret, "make_secret_key", lambda: key), replaced(gloo_run, "RendezvousServer", Guarded):
        yield


def carry_token(environ: MutableMapping[str, str] = os.environ) -> None:
    """Let Horovod's C++ in this rank give the token: to be called before `hvd.init`."""
    from horovod.runner.common.util import codec, secret

    token = _token_of(codec.loads_base64(environ[secret.HOROVOD_SECRET_KEY]))
    # It makes `http://ADDRESS:PORT/SCOPE/KEY` of these two, and takes what is before the first slash for the host.
    if "/" not in environ[ADDRESS]:
        environ[ADDRESS] = f"{environ[ADDRESS]}:{environ[PORT]}/{token}"


def _token_of(key: bytes) -> str:
    return hmac.new(key, b"rendezvous", hashlib.sha256).hexdigest()


def _answering(token: str, handler_class: Any) -> Any:
    """Return a handler of HTTP requests that refuses those without the token, and too large ones, before reading."""

    class Answering(handler_class):
        path: str

        def parse_request(self) -> bool:
            if not super().parse_request():
                return False
            first, _, rest = self.path.removeprefix("/").partition("/")  # TOKEN:PORT/SCOPE/KEY
            status = None
            if not hmac.compare_digest(first.partition(":")[0].encode(), token.encode()):
                status = HTTPStatus.FORBIDDEN
            elif not self.headers.get("Content-Length", "0").isdecimal():
                status = HTTPStatus.BAD_REQUEST
            elif int(self.headers.get("Content-Length", "0")) > MOST_VALUE_BYTES:
                status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            if status is not None:
                self.send_error(status)
                return False
            self.path = f"/{rest}"
            return True

    return Answering
