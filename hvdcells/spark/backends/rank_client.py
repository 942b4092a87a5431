"""What Horovod executes for a rank: asks the rank server for one, and ends as the rank ends.

Standard library only: it must start in no time. Without a server it becomes the Python that Horovod wanted.
"""

import contextlib
import json
import os
import signal
import socket
import sys

TERM = b"t"
"""What tells the server to send the rank SIGTERM."""


def main(address: str, arguments: list[str]) -> None:
    """Hand arguments (`-m MODULE …`), environment, folder and streams to the server; wait for the exit status."""
    try:
        server = socket.socket(socket.AF_UNIX)
        server.connect(address)
    except OSError:
        os.execv(sys.executable, [sys.executable, *arguments])
    request = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}  # noqa: PTH109
    body = json.dumps(request).encode()
    socket.send_fds(server, [len(body).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(body)

    def tell(*_: object) -> None:
        with contextlib.suppress(OSError):  # the server is gone, and the rank with it
            server.sendall(TERM)

    signal.signal(signal.SIGTERM, tell)  # the rank keeps its work before it ends
    answer = server.recv(16)
    # A negative status is a signal; no answer, that the server was killed and its ranks with it.
    status = int(answer) if answer else -signal.SIGKILL
    if status < 0:
        signal.signal(-status, signal.SIG_DFL) if -status not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
