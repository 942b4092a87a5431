"""An HTTP proxy before an S3 double that answers badly now and then."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = ("500", "503", "slow")
SLOW_SECONDS = 0.4


class FaultyProxy:
    """Counts requests; while `every` is set, each so-many-th gets a fault, the kinds in turn."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.answer: Callable[[str, Message, bytes], tuple[int, bytes] | None] | None = None
        """Given method, headers and body of a request; what it returns is answered in place of the server."""
        self.every = 0
        self.requests: Counter[str] = Counter()
        self.injected: Counter[str] = Counter()
        self._lock = threading.Lock()

    def fault_for_next(self, method: str) -> str | None:
        """Count a request and return the fault it gets, if any."""
        with self._lock:
            self.requests[method] += 1
            if not self.every or self.requests.total() % self.every:
                return None
            fault = FAULTS[self.injected.total() % len(FAULTS)]
            self.injected[fault] += 1
            return fault


@contextmanager
def faulty_proxy(target_port: int) -> Iterator[tuple[str, FaultyProxy]]:
    """Run a proxy before a server on this machine; yield its URL and its controls."""
    proxy = FaultyProxy(target_port)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            made_up = proxy.answer(self.command, self.headers, body) if proxy.answer else None
            if made_up is not None:
                self._answer(made_up[0], [("Content-Type", "application/x-amz-json-1.1")], made_up[1])
                return
            fault = proxy.fault_for_next(self.command)
            if fault in ("500", "503"):
                self._answer(int(fault), [("Content-Type", "text/plain")], b"injected")
                return
            if fault == "slow":
                time.sleep(SLOW_SECONDS)
            connection = http.client.HTTPConnection("127.0.0.1", proxy.target_port, timeout=60)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
            length = answer.getheader("Content-Length") if self.command == "HEAD" else None
            self._answer(answer.status, answer.getheaders(), content, length)
            connection.close()

        def _answer(self, status: int, headers: list, content: bytes, length: str | None = None) -> None:
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
