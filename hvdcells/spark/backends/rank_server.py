"""The rank server: one process that imports what ranks need, once, and becomes a rank by forking.

Importing TensorFlow takes more CPU than all the rest of a start, and every rank would do it for itself, after Spark
and Horovod are up. The server does it while the JVM starts. It serves ranks on the driver's own machine, that is
on Spark's local masters; on a cluster ranks are started by Horovod as usual.

`rank_executable` starts it from the driver and names the executable that Horovod is to run for a rank; that one
(`rank_client.py`) asks the server for a rank and ends as the rank ends. The server stays for the next job of the same
process: the runs of a sweep share it.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

CLIENT = Path(__file__).with_name("rank_client.py")
END_SECONDS = 2
"""The longest that a server takes to end that is not importing."""


class Request(TypedDict):
    """What a client asks for: a rank that does as the client would."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str


def rank_executable(modules: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return the path of the executable to start a rank with, whose server has imported modules, or is about to.

    The server ends when this process ends, in whatever way, and its ranks end with it.
    """
    key = tuple(modules)
    if key not in _servers or _servers[key].process.poll() is not None:
        _servers[key] = RankServer(modules, environment)
    return str(_servers[key].executable)


class RankServer:
    """A running server.

    Args:
        modules: what it imports.
        environment: what it imports them with; a rank has the environment of its client.
    """

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="hvdcells-")
        self.executable, address = Path(self._folder.name) / "rank", Path(self._folder.name) / "socket"
        self.executable.write_text(f'#!/bin/sh\nexec "{sys.executable}" -ES "{CLIENT}" "{address}" "$@"\n')
        self.executable.chmod(self.executable.stat().st_mode | stat.S_IXUSR)
        with listen(address) as listener:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hvdcells.spark.backends.rank_server", str(listener.fileno()), *modules],
                env=environment,
                stdin=subprocess.PIPE,  # its end tells the server that this process has ended
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
                start_new_session=True,  # Ctrl-C is for the driver, which ends its ranks in order
            )

    def close(self) -> None:
        """End the server and its ranks."""
        self.process.communicate()  # closes its standard input, and waits
        self._folder.cleanup()


_servers: dict[tuple[str, ...], RankServer] = {}


@atexit.register
def _end_servers() -> None:
    """Let none outlive this process by the seconds of its imports, during which it does not look up."""
    for server in _servers.values():
        if server.process.stdin is not None:
            server.process.stdin.close()
        try:
            server.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()


def listen(address: Path) -> socket.socket:
    """Open the socket at which clients ask for ranks. Those who come before the server is ready wait."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(address))
    listener.listen()
    return listener


def serve(listener: socket.socket) -> None:
    """Fork a rank for each client, until standard input ends. Returns in the ranks, never in the server.

    A client's message is answered by the rank's exit status, once it has one. What a client says after it has the rank
    told to end; a client that is gone takes its rank with it.
    """
    folder = Path(listener.getsockname()).parent
    clients: dict[int, socket.socket] = {}  # by the process id of the rank
    woken, wake = socket.socketpair()
    for end in (woken, wake):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno())
    with selectors.DefaultSelector() as selector:
        for source in (sys.stdin.fileno(), listener, woken):
            selector.register(source, selectors.EVENT_READ)
        while True:
            for source in [key.fileobj for key, _ in selector.select()]:
                if source == sys.stdin.fileno():
                    for rank in clients:
                        os.kill(rank, signal.SIGKILL)
                    for rank in clients:
                        os.waitpid(rank, 0)  # until then it may write
                    # A driver that was killed has left it, and nobody else would remove it.
                    shutil.rmtree(folder, ignore_errors=True)
                    os._exit(0)
                elif source is listener:
                    client, _ = listener.accept()
                    request, streams = _receive(client)
                    rank = os.fork()
                    if rank == 0:
                        signal.set_wakeup_fd(-1)
                        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                        for other in (listener, woken, wake, client, *clients.values()):
                            other.close()
                        become_rank(request, streams, folder)
                    for stream in streams:
                        os.close(stream)
                    clients[rank] = client
                    selector.register(client, selectors.EVENT_READ, rank)
                elif source is woken:
                    woken.recv(4096)
                    for rank, status in _ended(clients):
                        client = clients.pop(rank)
                        with contextlib.suppress(KeyError):  # it is gone, and was not listened to any more
                            selector.unregister(client)
                        with client, contextlib.suppress(OSError):
                            client.sendall(str(os.waitstatus_to_exitcode(status)).encode())
                else:
                    rank = next((rank for rank, client in clients.items() if client is source), 0)
                    if not rank:  # its rank has ended, and was answered, a moment ago
                        continue
                    if _says_more(clients[rank]):
                        os.kill(rank, signal.SIGTERM)
                    else:  # it is gone
                        selector.unregister(source)
                        os.kill(rank, signal.SIGKILL)


def _ended(ranks: Mapping[int, object]) -> list[tuple[int, int]]:
    waited = [os.waitpid(rank, os.WNOHANG) for rank in list(ranks)]
    return [(rank, status) for rank, status in waited if rank]


def _says_more(client: socket.socket) -> bool:
    try:
        return bool(client.recv(16))
    except OSError:
        return False


def _receive(client: socket.socket) -> tuple[Request, list[int]]:
    size, streams, *_ = socket.recv_fds(client, 8, 3)
    with client.makefile("rb") as body:
        return json.loads(body.read(int.from_bytes(size, "big"))), streams


def become_rank(request: Request, streams: Sequence[int], temporary: Path) -> None:
    """Run the module that a client asks for, with its arguments, environment, folder and streams; does not return.

    Its temporary files lie in the server's folder: a rank is killed when another one fails, and leaves them.
    """
    exit_code = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"], TMPDIR=str(temporary))
        tempfile.tempdir = None  # what the server found may be elsewhere
        known = set(sys.path)
        sys.path[:0] = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p and p not in known]
        _, module, *sys.argv[1:] = request["arguments"]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        exit_code = 0
    except SystemExit as ending:
        exit_code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.exit(exit_code)


def main() -> None:
    """Import what is wanted, then serve."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    # Without the collector, which finds nothing in modules, the imports take a twelfth less.
    gc.disable()
    for module in sys.argv[2:]:
        importlib.import_module(module)
    gc.freeze()
    gc.enable()
    serve(listener)


if __name__ == "__main__":
    main()
