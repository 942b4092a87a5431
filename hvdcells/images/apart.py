"""Decodes images in a process of its own, with limits of memory and time: a file that crashes it is named, no more."""

import atexit
import os
import signal
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

SCRIPT = Path(__file__).with_name("decoding_process.py")
MOST_BYTES = 3 * 2**30
"""Address space of the process; OpenCV and numpy take 1 GiB of it by being there."""
MOST_SECONDS = 60.0
"""For one image. The largest, of 64 megapixels, takes some seconds."""
MOST_AXES = 3


class CrashedError(Exception):
    """The image ended the process, or took too long; the message is the reason."""


class RefusedError(Exception):
    """The process could not decode the image; the message is OpenCV's reason, if it had one."""


class DecodingProcess:
    """A process that decodes one image after the other, started with the first and anew after a crash.

    Args:
        most_pixels: width × height of the largest image that OpenCV is to decode.
        most_seconds: for one image.
    """

    def __init__(self, most_pixels: int, most_seconds: float = MOST_SECONDS) -> None:
        self._most_pixels, self._most_seconds = most_pixels, most_seconds
        self._lock = threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None

    def decode(self, content: bytes) -> npt.NDArray[np.generic]:
        """Return what `cv2.imdecode` makes of a file.

        Raises:
            RefusedError: it makes nothing of it.
            CrashedError: it ends the process, or takes longer than it may.
        """
        with self._lock:
            process = self._running = self._running or self._start()
            too_late = threading.Event()

            def give_up() -> None:
                too_late.set()
                process.kill()

            timer = threading.Timer(self._most_seconds, give_up)
            timer.start()
            try:
                return _ask(process, content)
            except (OSError, EOFError, struct.error):
                self._end()
                if too_late.is_set():
                    raise CrashedError(f"decoding it takes longer than {self._most_seconds:g} s") from None
                status = process.returncode
                how = signal.Signals(-status).name if status < 0 else f"exit code {status}"
                raise CrashedError(f"decoding it ends the process ({how})") from None
            finally:
                timer.cancel()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "OPENCV_IO_MAX_IMAGE_PIXELS": str(self._most_pixels)}
        return subprocess.Popen(
            [sys.executable, "-P", str(SCRIPT), str(MOST_BYTES)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # libtiff says there what it thinks of each file
            start_new_session=True,  # Ctrl-C is for who decodes; the end of its input ends this one
        )

    def _end(self) -> None:
        process, self._running = self._running, None
        if process is not None:
            process.kill()
            with suppress(OSError):
                process.communicate()


_ours: dict[tuple[int, int], DecodingProcess] = {}


def decode_apart(content: bytes, most_pixels: int) -> npt.NDArray[np.generic]:
    """Decode in the process that this one has for it; see `DecodingProcess.decode`."""
    key = (os.getpid(), most_pixels)  # a fork has its own
    if key not in _ours:
        _ours[key] = DecodingProcess(most_pixels)
        atexit.register(_ours[key].close)
    return _ours[key].decode(content)


def _ask(process: subprocess.Popen[bytes], content: bytes) -> npt.NDArray[np.generic]:
    images, answers = cast(BinaryIO, process.stdin), cast(BinaryIO, process.stdout)
    images.write(struct.pack("<q", len(content)))
    images.write(content)
    images.flush()
    match _exactly(answers, 1):
        case b"P":
            kind, num_axes = struct.unpack("<cB", _exactly(answers, 2))
            if num_axes > MOST_AXES or kind not in b"bBhHiIfd":
                raise EOFError  # the process is no longer what was started
            shape = struct.unpack(f"<{num_axes}q", _exactly(answers, 8 * num_axes))
            pixels = np.empty(shape, kind.decode())
            _fill(answers, pixels.reshape(-1).view(np.uint8).data)
            return pixels
        case b"E":
            (length,) = struct.unpack("<q", _exactly(answers, 8))
            raise RefusedError(_exactly(answers, min(length, 10_000)).decode(errors="replace"))
        case b"N":
            raise RefusedError
    raise EOFError


def _exactly(answers: BinaryIO, num_bytes: int) -> bytes:
    content = answers.read(num_bytes)
    if len(content) < num_bytes:
        raise EOFError
    return content


def _fill(answers: BinaryIO, target: memoryview) -> None:
    filled = 0
    while filled < len(target):
        num_bytes = answers.readinto(target[filled:])  # type: ignore[attr-defined]
        if not num_bytes:
            raise EOFError
        filled += num_bytes
