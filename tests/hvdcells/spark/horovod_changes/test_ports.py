"""Ports of a job. Where a test says "as it is", Horovod unchanged still needs the change."""

import contextlib
import http.client
import socket
import struct

import pytest
from horovod.runner import gloo_run
from horovod.runner.common.service.task_service import BasicTaskService
from horovod.runner.common.util import codec, secret
from horovod.runner.common.util.network import PingRequest, Wire
from horovod.runner.common.util.secret import DIGEST_LENGTH

from hvdcells.spark.horovod_changes.ports import (
    ADDRESS,
    LOOPBACK,
    MOST_VALUE_BYTES,
    PORT,
    bounded_messages,
    carry_token,
    guarding_its_ports,
    rendezvous_by_token,
    served_at,
)

pytestmark = pytest.mark.tensorflow

KEY = b"0123456789abcdef"


@contextlib.contextmanager
def service():
    """Horovod's own."""
    served = BasicTaskService("task", 0, KEY, {"lo"})
    try:
        yield served
    finally:
        served.shutdown()


@pytest.mark.parametrize(
    ("change", "address"), [(contextlib.nullcontext(), "0.0.0.0"), (served_at(LOOPBACK), LOOPBACK)]
)
def test_horovod_as_it_is_listens_on_all_interfaces_and_changed_on_loopback(change, address):
    rendezvous = gloo_run.RendezvousServer()
    with change, service() as served:
        port = rendezvous.start()
        assert served._server.server_address[0] == rendezvous._httpd.server_address[0] == address
        assert rendezvous._httpd.server_port == port
        rendezvous.stop()


@pytest.mark.parametrize(("is_local", "address"), [(False, "0.0.0.0"), (True, LOOPBACK)])
def test_tasks_listen_on_loopback_where_all_is_on_one_machine(is_local, address):
    def mapper(index, rows):
        with service() as served:
            yield served._server.server_address[0], Wire.read

    ((found, read),) = guarding_its_ports(mapper, is_local)(0, [])
    assert found == address
    assert read is not Wire.read


class Stream:
    """What a stranger sends: a digest, and how much is to come. Notes how much of it was asked for."""

    def __init__(self, size):
        self.parts = [b"x" * DIGEST_LENGTH, struct.pack("i", size), b""]
        self.asked = []

    def read(self, size):
        self.asked.append(size)
        return self.parts.pop(0)


@pytest.mark.parametrize("size", [2**31 - 1, 1001, -1])
def test_horovod_as_it_is_reads_what_a_stranger_announces_and_changed_it_refuses_before_reading(size):
    as_it_is, changed = Stream(size), Stream(size)
    with pytest.raises(Exception, match="digest did not match"):
        Wire(KEY).read(as_it_is)
    assert as_it_is.asked[-1] == size
    with bounded_messages(1000), pytest.raises(EOFError, match="1,000 are allowed"):
        Wire(KEY).read(changed)
    assert changed.asked == [DIGEST_LENGTH, 4]


def test_a_service_closes_the_connection_and_serves_the_next():
    with bounded_messages(1000), service() as served, socket.create_connection((LOOPBACK, served.get_port())) as one:
        one.sendall(b"x" * DIGEST_LENGTH + struct.pack("i", 2**30))
        assert one.recv(1) == b""
        with socket.create_connection((LOOPBACK, served.get_port())) as other, other.makefile("rwb") as stream:
            Wire(KEY).write(PingRequest(), stream)
            assert Wire(KEY).read(stream).service_name == "task"


@contextlib.contextmanager
def rendezvous(change):
    """Yield the port of Horovod's own, and the beginning of the path at which ranks look for it."""
    with change, served_at(LOOPBACK):
        key, server = secret.make_secret_key(), gloo_run.RendezvousServer()
        port = server.start()
        server.init([])
        environ = {ADDRESS: LOOPBACK, PORT: str(port), secret.HOROVOD_SECRET_KEY: codec.dumps_base64(key)}
        carry_token(environ)
        carry_token(environ)  # as where a rank begins anew
        try:
            # As Horovod's C++ makes it: http://ADDRESS:PORT/SCOPE/KEY
            host, _, path = f"{environ[ADDRESS]}:{environ[PORT]}/".partition("/")
            assert host == f"{LOOPBACK}:{port}"
            yield port, f"/{path}"
        finally:
            server.stop()


def status_of(port, method, path, body=None, headers=()):
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, body, dict(headers))
        return connection.getresponse().status


def test_horovod_as_it_is_lets_anybody_write_at_the_rendezvous():
    with rendezvous(contextlib.nullcontext()) as (port, _):
        assert status_of(port, "PUT", "/global/0", b"x") == 200
        assert status_of(port, "HEAD", "/pyproject.toml") != 403  # a file of the driver's folder


def test_the_rendezvous_answers_those_alone_who_have_the_token():
    with rendezvous(rendezvous_by_token()) as (port, path):
        assert status_of(port, "PUT", f"{path}global/0", b"x") == 200
        assert status_of(port, "GET", f"{path}global/0") == 200
        for stranger in ("/", "/global/0", f"{path.replace(path[1:9], 'a' * 8)}global/0"):
            for method in ("GET", "PUT", "DELETE", "HEAD", "POST"):
                assert status_of(port, method, stranger, b"x" if method == "PUT" else None) == 403
        assert status_of(port, "DELETE", f"{path}global/0") == 200


@pytest.mark.parametrize(("size", "status"), [(str(MOST_VALUE_BYTES + 1), 413), ("-1", 400), ("many", 400)])
def test_the_rendezvous_refuses_what_is_too_long_before_it_reads_it(size, status):
    with rendezvous(rendezvous_by_token()) as (port, path):
        # Not one byte of the body is sent.
        assert status_of(port, "PUT", f"{path}global/0", headers={"Content-Length": size}) == status
