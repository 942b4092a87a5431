import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.tiny_export import SIDE, write_tiny_export


@dataclass
class Server:
    """`hvdcells serve` in a process of its own."""

    process: subprocess.Popen
    port: int

    def ask(self, path="/invocations", body=None, headers: Mapping[str, str] | None = None, method=None):
        """Return status, headers and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method or ("GET" if body is None else "POST"), path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def rows(self, body, content_type="image/png"):
        status, _, answer = self.ask(body=body, headers={"Content-Type": content_type})
        assert status == 200, answer
        return json.loads(answer)["predictions"]

    def lives(self):
        (row,) = self.rows(png((200, 30, 30)))
        return row["called"] == "all"

    def memory_bytes(self):
        _, _, told = self.ask("/metrics")
        return float(re.search(rb"(?m)^process_resident_memory_bytes (\S+)", told)[1])


@contextmanager
def serving(
    export: Path, *words: str, python: Sequence[str] = (sys.executable,), env: Mapping[str, str] | None = None
) -> Iterator[Server]:
    command = [*python, "-m", "launch.cli", "serve", str(export), "--port", "0", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})
    try:
        said = ""
        for line in process.stderr or ():
            said += line
            if found := re.search(r":(\d+)/ ", line):
                break
        else:
            raise AssertionError(said)
        yield Server(process, int(found[1]))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def png(colour, side=SIDE) -> bytes:
    """Return a PNG of one colour (red, green, blue)."""
    pixels = np.full((side, side, 3), colour[::-1], np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def form(files: Sequence[tuple[str, bytes]]) -> tuple[bytes, str]:
    """Return the body and the type of a form with files."""
    head = '--edge\r\nContent-Disposition: form-data; name="images"; filename="%s"\r\n\r\n'
    body = b"".join((head % name).encode() + content + b"\r\n" for name, content in files) + b"--edge--\r\n"
    return body, "multipart/form-data; boundary=edge"


@pytest.fixture(scope="session")
def export(tmp_path_factory) -> Path:
    return write_tiny_export(tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="session")
def server(export) -> Iterator[Server]:
    with serving(export) as started:
        yield started
