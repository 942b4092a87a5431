"""What ranks print reaches the screen when it is printed, not when Horovod's buffer is full."""

import codecs
import contextlib
import io
import os

import pytest
from horovod.runner.common.util import network

from hvdcells.spark.horovod_changes.worker_output import WorkerOutput, unbuffered_output

pytestmark = pytest.mark.tensorflow


def test_lines_come_at_once_and_without_prefix(capsys):
    read_end, write_end = os.pipe()
    shown = []

    class Screen(WorkerOutput):
        def write(self, text):
            count = super().write(text)
            shown.append(capsys.readouterr().out)
            if len(shown) == 1:  # the first line has arrived while the writer still holds its end
                os.write(write_end, "[0]<stdout>:zweite Ä".encode()[:-1])
                os.write(write_end, "Ä\n".encode()[1:])
                os.close(write_end)
            return count

    os.write(write_end, b"[0]<stdout>:first\n")
    with unbuffered_output(), os.fdopen(read_end, "rb") as source:
        network.shutil.copyfileobj(codecs.getreader("utf-8")(source), Screen(shown=True))
    assert shown[0] == "first\n"
    assert "".join(shown) == "first\nzweite Ä\n"
    assert network.shutil.__name__ == "shutil"


@pytest.mark.parametrize(("change", "shown"), [(contextlib.nullcontext, ""), (unbuffered_output, "first\n")])
def test_horovod_as_it_is_waits_for_more_and_changed_it_does_not(change, shown):
    """What is on the screen when the driver asks for what comes after the first line."""
    chunks, screen, seen = [b"first\n"], io.StringIO(), []

    class Connection(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            seen.append(screen.getvalue())
            chunk = chunks.pop(0) if chunks else b""
            buffer[: len(chunk)] = chunk
            return len(chunk)

    with change():
        network.shutil.copyfileobj(codecs.getreader("utf-8")(io.BufferedReader(Connection())), screen)
    assert seen[:2] == ["", shown]
    assert screen.getvalue() == "first\n"


def test_what_is_kept_is_bounded():
    output = WorkerOutput(shown=False)
    for _ in range(3):
        output.write("x" * WorkerOutput.KEPT_CHARACTERS)
    output.write("last")
    assert output.text().endswith("xlast")
    assert len(output.text()) == WorkerOutput.KEPT_CHARACTERS
