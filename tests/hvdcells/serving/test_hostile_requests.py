"""Requests by those who mean no good: each is refused with a 4xx, and the server lives."""

import base64
import json
import socket
import struct
import zlib
from contextlib import ExitStack

import cv2
import numpy as np
import pytest

from tests.hvdcells.serving.conftest import form, png, serving

PNG = {"Content-Type": "image/png"}
MOST_MEMORY_BYTES = 500 * 2**20


def bomb(side=60_000) -> bytes:
    """Return a PNG of a few kB that unfolds to gigabytes."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10**6)))
        + chunk(b"IEND", b"")
    )


def many_parts(number: int) -> tuple[bytes, dict[str, str]]:
    body, kind = form([("x", b"")] * number)
    return body, {"Content-Type": kind}


JPEG = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8))[1].tobytes()
HOSTILE = {
    "bomb": (bomb(), PNG, 422),
    "truncated PNG": (png((9, 9, 9))[:-20], PNG, 422),
    "truncated JPEG": (JPEG[: len(JPEG) // 2], {"Content-Type": "image/jpeg"}, 422),
    "HTML": (b"<!doctype html><script>alert(1)</script>", PNG, 422),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', {"Content-Type": "image/svg+xml"}, 422),
    "nothing": (b"", PNG, 422),
    "pickle": (b"\x80\x04\x8c\x05posix\x8c\x06system\x93", {"Content-Type": "application/x-pickle"}, 415),
    "numpy": (b"\x93NUMPY\x01\x00", {"Content-Type": "application/x-npy"}, 415),
    "no type": (png((9, 9, 9)), {}, 415),
    "a path": (json.dumps({"path": "/etc/passwd"}).encode(), {"Content-Type": "application/json"}, 400),
    "a path as image": (json.dumps({"images": ["/etc/passwd"]}).encode(), {"Content-Type": "application/json"}, 400),
    "an address": (json.dumps({"images": ["s3://b/c.png"]}).encode(), {"Content-Type": "application/json"}, 400),
    "deep JSON": (b"[" * 10**6, {"Content-Type": "application/json"}, 400),
    "no JSON": (b"\xff\xfe", {"Content-Type": "application/json"}, 400),
    "no images": (b'{"images": []}', {"Content-Type": "application/json"}, 400),
    "images without number": (
        json.dumps({"images": [base64.b64encode(b"x").decode()] * 5000}).encode(),
        {"Content-Type": "application/json"},
        413,
    ),
    "thousands of parts": (*many_parts(20_000), 400),
    "form without edge": (b"x", {"Content-Type": "multipart/form-data"}, 400),
    "form that does not begin": (b"x" * 10_000, {"Content-Type": "multipart/form-data; boundary=edge"}, 400),
    "100 MB": (bytes(100_000_000), PNG, 413),
    "100 MB as a form": (bytes(100_000_000), {"Content-Type": "multipart/form-data; boundary=edge"}, 413),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("path", ["/invocations", "/explain"])
def test_a_hostile_body_is_refused_and_the_server_lives(server, name, path):
    body, headers, expected = HOSTILE[name]
    status, _, answer = server.ask(path, body, headers)
    assert (status, list(json.loads(answer))) == (expected, ["error"])
    assert server.lives()
    assert server.memory_bytes() < MOST_MEMORY_BYTES


def test_a_body_without_end_is_refused(server):
    with socket.create_connection(("127.0.0.1", server.port), 60) as slow:
        slow.sendall(b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n")
        slow.sendall(b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + bytes(2**20) + b"\r\n"
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            slow.sendall(chunk * 300)
    assert server.lives()
    assert server.memory_bytes() < MOST_MEMORY_BYTES


def test_slow_clients_are_told_so_and_hold_nobody_up(export):
    head = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    begun = {"head": head + b"X-Slow: ", "body": head + b"Content-Length: 99\r\n\r\nx", "nothing": b""}
    told: list[bytes] = []
    with serving(export, "--seconds", "5") as server, ExitStack() as opened:
        for content in begun.values():
            slow = opened.enter_context(socket.create_connection(("127.0.0.1", server.port), 60))
            slow.sendall(content)
            opened.callback(lambda slow=slow: told.append(slow.recv(12)))
        assert server.lives(), "the others wait for nobody"
        opened.close()  # waits for the answers
        assert told == 3 * [b"HTTP/1.1 408"]
        assert server.lives()


def test_a_head_without_end_is_refused(server):
    with socket.create_connection(("127.0.0.1", server.port), 60) as endless:
        endless.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n" + b"X-More: more\r\n" * 9000)
        assert endless.recv(12) == b"HTTP/1.1 431"


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/page.css/../../model.py", "/static/x", "//etc/passwd"])
def test_no_file_is_reached_by_a_path(server, path):
    assert server.ask(path)[0] == 404


def test_other_methods_and_no_http_are_refused(server):
    assert server.ask("/invocations", method="DELETE")[0] == 405
    with socket.create_connection(("127.0.0.1", server.port), 60) as other:
        other.sendall(b"\x16\x03\x01 no HTTP\r\n\r\n")
        assert other.recv(12) == b"HTTP/1.1 400"


def test_pages_of_others_reach_nothing(server):
    assert server.ask("/model", headers={"Host": "evil.example"})[0] == 403, "a name that leads here (DNS rebinding)"
    crossed = {**PNG, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert server.ask(body=png((9, 9, 9)), headers=crossed)[0] == 403
    _, headers, _ = server.ask("/")
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "Access-Control-Allow-Origin" not in headers
