"""The process that serves: a socket, time limits for the heads of requests, and an end that drains."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hvdcells.errors import UserError
from hvdcells.serving.given import Limits

MOST_HEAD_BYTES = 64 * 2**10
"""Of a request's head: line and headers."""
KEEP_ALIVE_SECONDS = 15
_TELL = b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def usable_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0))


class BoundedHeads(HttpToolsProtocol):
    """Ends connections whose next request's head takes too long or grows too large; uvicorn bounds neither."""

    head_seconds = Limits().seconds
    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.head_seconds, self._refuse, b"408 Request Timeout")

    def data_received(self, data: bytes) -> None:
        """Take bytes; those of a head are counted."""
        super().data_received(data)
        if self._timer is None:
            self._head_bytes = 0
            return
        self._head_bytes += len(data)
        if self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        """Begin with a request."""
        super().on_message_begin()
        if self._timer is None:
            self._timer = self.loop.call_later(self.head_seconds, self._refuse, b"408 Request Timeout")

    def on_headers_complete(self) -> None:
        """End a head."""
        self._end_timer()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the connection."""
        self._end_timer()
        super().connection_lost(exc)

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: bytes) -> None:
        self._end_timer()
        if not self.transport.is_closing():
            self.transport.write(_TELL % status)
            self.transport.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, tell: Callable[[int], Any]) -> None:
        super().__init__(config)
        self._told = tell

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Drain at SIGTERM and Ctrl-C, and then end as one who is done; uvicorn would raise the signal once more."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: Any = None) -> None:
        """Listen, and tell where."""
        await super().startup(sockets)
        if self.started:
            self._told(self.servers[0].sockets[0].getsockname()[1])


def serve_until_stopped(
    app: FastAPI, host: str, port: int, limits: Limits, tell: Callable[[int], Any] = lambda _: None
) -> None:
    """Serve until SIGTERM or Ctrl-C; then answer what has been asked, and return.

    Args:
        app: of `hvdcells.serving.app.application`.
        host: name or address to listen at.
        port: 0 for any that is free.
        limits: those of the application.
        tell: told the port once requests are answered.

    Raises:
        UserError: the address cannot be listened at.
    """
    config = uvicorn.Config(
        app,
        host,
        port,
        http=type("_BoundedHeads", (BoundedHeads,), {"head_seconds": limits.seconds}),
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,  # addresses and names of files are nobody's
        server_header=False,
        limit_concurrency=limits.most_connections,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(limits.seconds) + 1,
    )
    server = _Server(config, tell)
    try:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(server.serve())
    except SystemExit:  # uvicorn has logged why
        raise UserError(
            f"listening at {host}:{port} failed", "an address of this machine that is free", "give another --port"
        ) from None
