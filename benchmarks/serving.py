"""The server against the bare runtime: images/s and latencies at several numbers of clients, and a soak.

    python -m benchmarks.serving --out FILE
    python -m benchmarks.serving --out FILE --soak-minutes 30

Each request is one PNG of 450 × 450. The limit is a loop in one process: these files, decoded, cropped and resized by
the same functions, one call of the runtime an image, with one thread or one a core, whichever is faster in the median.
Server and limit take turns in every round. The client shares the cores with the server: it is one thread that waits for
all its connections at once, its requests are made beforehand, and what it costs is measured and told.
"""

import re
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer

from benchmarks.harness import OutOption, run_command, write_result
from benchmarks.serving_model import cells, write_export
from hvdcells.images.prepare import use_one_thread
from hvdcells.serving.model import ServedModel

CLIENTS = (1, 4, 16, 64)
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


@dataclass
class Load:
    """What clients met with."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    """Of each request, in seconds."""
    errors: int = 0
    client_cpu_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Images a second."""
        return len(self.latencies) / self.seconds

    def told(self) -> dict[str, Any]:
        """Return it as JSON's types."""
        p50, p95, p99 = np.percentile(self.latencies, (50, 95, 99)) * 1000
        return {
            "images_per_second": round(self.rate, 1),
            "p50_ms": round(p50, 2),
            "p95_ms": round(p95, 2),
            "p99_ms": round(p99, 2),
            "p99_over_p50": round(p99 / p50, 2),
            "requests": len(self.latencies),
            "errors": self.errors,
            "client_cpu_ms_per_request": round(1000 * self.client_cpu_seconds / len(self.latencies), 3),
        }


@dataclass
class _Connection:
    socket: socket.socket
    began: float = 0.0
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    answer: bytearray = field(default_factory=bytearray)
    missing: int = -1


def requests_of(files: Sequence[bytes]) -> list[bytes]:
    """Return whole requests, head and body."""
    head = "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
    return [(head % len(content)).encode() + content for content in files]


def load(port: int, num_clients: int, requests: Sequence[bytes], num_requests: int) -> Load:
    """Send requests from so many clients, each of which sends its next when it has its answer."""
    found, sent = Load(), 0
    with selectors.EpollSelector() as selector:

        def send(connection: _Connection) -> None:
            nonlocal sent
            connection.unsent = memoryview(requests[sent % len(requests)])
            connection.answer.clear()
            connection.missing, connection.began, sent = -1, time.perf_counter(), sent + 1
            go_on(connection)

        def go_on(connection: _Connection) -> None:
            try:
                while connection.unsent:
                    connection.unsent = connection.unsent[connection.socket.send(connection.unsent) :]
            except BlockingIOError:
                pass
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.unsent else 0)
            if selector.get_key(connection.socket).events != wanted:
                selector.modify(connection.socket, wanted, connection)

        began, cpu = time.perf_counter(), time.process_time()
        for _ in range(min(num_clients, num_requests)):
            opened = socket.create_connection(("127.0.0.1", port))
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.setblocking(False)
            connection = _Connection(opened)
            selector.register(opened, selectors.EVENT_READ, connection)
            send(connection)
        while len(found.latencies) < num_requests:
            for key, events in selector.select():
                connection = key.data
                if events & selectors.EVENT_WRITE:
                    go_on(connection)
                if not events & selectors.EVENT_READ or not _answered(connection):
                    continue
                found.latencies.append(time.perf_counter() - connection.began)
                found.errors += not connection.answer.startswith(b"HTTP/1.1 200")
                if sent < num_requests:
                    send(connection)
        found.seconds, found.client_cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
        for key in list(selector.get_map().values()):
            key.data.socket.close()
    return found


def _answered(connection: _Connection) -> bool:
    """Read what is there; return whether the answer is whole."""
    content = connection.socket.recv(65536)
    if not content:
        raise ConnectionError("the server has ended the connection")
    connection.answer += content
    if connection.missing < 0:
        head = connection.answer.find(b"\r\n\r\n")
        if head < 0:
            return False
        length = _LENGTH.search(connection.answer, 0, head)
        connection.missing = head + 4 + (int(length[1]) if length else 0)
    return len(connection.answer) >= connection.missing


@contextmanager
def serving(export: Path, python: str = sys.executable) -> Iterator[tuple[int, psutil.Process, float]]:
    """Start a server; yield its port, its process and the seconds from its start to its first answer."""
    began = time.perf_counter()
    command = [python, "-m", "launch.cli", "serve", str(export), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = ""
            while not (found := re.search(r":(\d+)/ ", said)):
                line = process.stderr.readline()
                if not line:
                    raise RuntimeError(said)
                said += line
            port = int(found[1])
            load(port, 1, requests_of(cells(1)), 1)
            yield port, psutil.Process(process.pid), time.perf_counter() - began
        finally:
            process.send_signal(signal.SIGTERM)


def bare(model: ServedModel, files: Sequence[bytes], num_images: int) -> float:
    """Return images/s of a loop over files: decode, crop, resize, predict."""
    prepare = model.described.preparation.of_content
    began = time.perf_counter()
    for number in range(num_images):
        model(prepare(files[number % len(files)])[np.newaxis])
    return num_images / (time.perf_counter() - began)


def command(
    out: Annotated[Path, OutOption],
    export: Annotated[Path | None, typer.Option(help="Left out: a CNN with random weights.")] = None,
    python: Annotated[str, typer.Option(help="The server's.", show_default=False)] = sys.executable,
    requests: Annotated[int, typer.Option(min=100, help="In a round, for each number of clients.")] = 1000,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    soak_minutes: Annotated[float, typer.Option(min=0, help="Instead: memory over so long, at a low rate.")] = 0,
    soak_rate: Annotated[float, typer.Option(min=0.1, help="Requests a second of the soak.")] = 10,
) -> None:
    """Measure the server."""
    with tempfile.TemporaryDirectory() as folder:
        served, files = export or write_export(Path(folder)), cells(32)
        whole = requests_of(files)
        with serving(served, python) as (port, process, start_seconds):
            if soak_minutes:
                result = soak(port, process, whole, soak_minutes, soak_rate)
            else:
                result = compare(served, port, files, whole, requests, rounds)
                result["memory_mb"] = round(process.memory_info().rss / 1e6)
                result["start_to_first_answer_seconds"] = round(start_seconds, 2)
    write_result(out, result)


def compare(
    served: Path, port: int, files: Sequence[bytes], whole: Sequence[bytes], requests: int, rounds: int
) -> dict[str, Any]:
    """Let the limit and the server take turns."""
    use_one_thread()
    cores = len(psutil.Process().cpu_affinity())
    loops = {"bare": ServedModel.load(served, threads=cores), "bare_one_thread": ServedModel.load(served)}
    rates: dict[str, list[float]] = {name: [] for name in loops}
    loads: dict[int, list[Load]] = {clients: [] for clients in CLIENTS}
    load(port, 16, whole, 64)
    for number in range(rounds):
        for clients in CLIENTS:
            for name, model in loops.items():
                rates[name].append(bare(model, files, max(50, requests // 8)))
            loads[clients].append(load(port, clients, whole, requests))
            typer.echo(f"round {number + 1}: {clients} clients {loads[clients][-1].told()}", err=True)
    fastest = max(rates, key=lambda name: float(np.median(rates[name])))
    limit = float(np.median(rates[fastest]))
    result: dict[str, Any] = {
        "limit": {name: round(float(np.median(values)), 1) for name, values in rates.items()},
        "limit_spread": {name: [round(min(values), 1), round(max(values), 1)] for name, values in rates.items()},
        "clients": {},
        "errors": sum(each.errors for found in loads.values() for each in found),
        "requests": sum(len(each.latencies) for found in loads.values() for each in found),
        "cores": cores,
        "loadavg": psutil.getloadavg(),
    }
    for position, clients in enumerate(CLIENTS):
        found = loads[clients]
        # Beside each load its own measurement of the limit: both saw the machine in the same state.
        beside = [rates[fastest][number * len(CLIENTS) + position] for number in range(rounds)]
        ratios = [each.rate / own for each, own in zip(found, beside, strict=True)]
        pooled = Load(sum(each.seconds for each in found), [t for each in found for t in each.latencies])
        pooled.errors, pooled.client_cpu_seconds = (
            sum(each.errors for each in found),
            sum(each.client_cpu_seconds for each in found),
        )
        shares = {"of_limit": round(pooled.rate / limit, 3), "of_limit_by_round": [round(r, 3) for r in ratios]}
        result["clients"][str(clients)] = {**pooled.told(), **shares}
    return result


def soak(port: int, process: psutil.Process, whole: Sequence[bytes], minutes: float, rate: float) -> dict[str, Any]:
    """Send requests at a low rate, and write down the memory of the server each minute."""
    began, number, errors = time.monotonic(), 0, 0
    memory: list[float] = []
    while (passed := time.monotonic() - began) < 60 * minutes:
        if passed >= 60 * len(memory) + 5:
            memory.append(round(process.memory_info().rss / 1e6, 1))
        found = load(port, 4, whole, 4)
        errors, number = errors + found.errors, number + 4
        time.sleep(max(0.0, number / rate - (time.monotonic() - began)))
    half = memory[len(memory) // 2]
    return {
        "minutes": minutes,
        "requests": number,
        "errors": errors,
        "memory_mb_by_minute": memory,
        "growth_mb_second_half": round(memory[-1] - half, 1),
    }


if __name__ == "__main__":
    run_command(command)
