"""What the ranks print, on its way to the driver's screen.

Horovod reads it in blocks of 64 KB: hundreds of epochs before the first line is seen. Upstream,
`network.BasicClient` would have to hand on what `read1` gives. It is handed on line by line, since all ranks write to
one stream.
"""

import codecs
import re
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

from hvdcells.secrets import visible, without_secrets
from hvdcells.spark.horovod_changes.patching import replaced

RANK_PREFIX = re.compile(r"^\[(\d+)\]<(stdout|stderr)>:")


class WorkerOutput:
    """A stream for what the ranks print: line by line without Horovod's prefix, shown or kept.

    Args:
        shown: on the screen; otherwise kept.
        heard: is given what has come, and returns what of it is for a reader.
    """

    KEPT_CHARACTERS = 200_000

    def __init__(self, shown: bool, heard: Callable[[str], str] | None = None) -> None:
        self._shown = shown
        self._heard = heard
        self._kept = ""
        self._line = ""
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        """Take what has come; called by a thread for each rank."""
        with self._lock:
            return self._write(text)

    def _write(self, text: str) -> int:
        if self._heard:
            text = self._heard(text)
        if not self._shown:
            self._kept = (self._kept + text)[-self.KEPT_CHARACTERS :]
            return len(text)
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            # To standard output as it is at this moment: a test or a notebook may have replaced it.
            print(visible(without_secrets(RANK_PREFIX.sub("", line))), flush=True)  # noqa: T201
        return len(text)

    def flush(self) -> None:
        """Lines are shown when they are whole."""

    def text(self) -> str:
        """Return what was kept."""
        return without_secrets(self._kept)


def unbuffered_output() -> AbstractContextManager[None]:
    """Inside the block, the driver hands on what a rank prints at once."""
    from horovod.runner.common.util import network

    return replaced(network, "shutil", SimpleNamespace(copyfileobj=_copy_as_it_comes))


def _copy_as_it_comes(source: Any, target: Any) -> None:
    """Take the place of `shutil.copyfileobj`; `source` is a UTF-8 `StreamReader` over a socket's buffered file."""
    decoder, begun = codecs.getincrementaldecoder("utf-8")(errors="replace"), ""
    while chunk := source.stream.read1():
        whole, newline, begun = (begun + decoder.decode(chunk)).rpartition("\n")
        if newline:
            target.write(whole + newline)
    if begun:
        target.write(begun)
