"""The one process that works on a folder: a second one is refused as long as the first one lives.

`owner.json` in the folder names host and process, and its owner renews it while it lives. On the owner's own host a
dead process is known at once; from elsewhere it is taken for dead when it has not renewed the file for two minutes.
"""

import json
import os
import platform
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from hvdcells import storage
from hvdcells.errors import UserError

OWNER_NAME = "owner.json"
RENEWED_EVERY_SECONDS = 10.0
DEAD_AFTER_SECONDS = 120.0
"""From another host: an owner that was silent for so long is taken for dead. The hosts' clocks may differ by less."""
SETTLING_SECONDS = 1.0
"""Who takes over from a dead owner looks again after this time: of two that do so at once, the last one has it."""


def is_unused(location: str) -> bool:
    """Whether nothing is in a folder but, at most, the word of an owner."""
    return storage.is_empty(location) or storage.names_in(location) == [OWNER_NAME]


def refuse_owned(location: str) -> None:
    """Refuse a folder that another process works on, and change nothing.

    Raises:
        UserError: one does.
    """
    other = _word_of(storage.join(location, OWNER_NAME))
    if other is not None and _lives(other):
        raise _refusal(location, other)


@contextmanager
def sole_owner(location: str) -> Iterator[None]:
    """Own a folder, local or in S3, in the block; where it was not there before and stays empty, it is removed.

    Raises:
        UserError: another process that lives owns it, or has taken it over in the meantime; or this process cannot
            write there.
    """
    owner = _Owner(location)
    try:
        was_there = storage.exists(location)
        owner.take()
    except OSError as error:
        raise storage.as_user_error(error) or _not_writable(location, error) from error
    ended = threading.Event()
    renewing = threading.Thread(target=owner.renew, args=(ended,), daemon=True, name="owner")
    renewing.start()
    try:
        with _heeding_loss(owner):
            yield
    except KeyboardInterrupt:
        if owner.lost_to is None:
            raise
        raise _refusal(location, owner.lost_to) from None
    finally:
        ended.set()
        renewing.join()
        owner.release()
        if not was_there and storage.is_empty(location):
            storage.remove(location)


@contextmanager
def _heeding_loss(owner: "_Owner") -> Iterator[None]:
    """Inside the block, the interrupt with which an owner learns of its loss arrives where Ctrl-C is ignored, too.

    So it is in a program that a shell has started in the background; its Ctrl-C stays ignored.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if not ignored or threading.current_thread() is not threading.main_thread():
        yield
        return

    def heed(*_: object) -> None:
        if owner.lost_to is not None:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, heed)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


_WORD: dict[str, Any] = {"token": str, "host": str, "pid": int, "process_began": int | float, "renewed": int | float}
"""What stands in the file of an owner, and of which type."""


class _Owner:
    def __init__(self, location: str) -> None:
        self._location, self._file = location, storage.join(location, OWNER_NAME)
        self._word = {
            "token": uuid.uuid4().hex,
            "host": platform.node(),
            "pid": os.getpid(),
            "process_began": psutil.Process().create_time(),
        }
        self.lost_to: dict[str, Any] | None = None

    def take(self) -> None:
        if storage.create_text(self._file, self._text()):
            return
        other = self._read()
        if other is not None and _lives(other):
            raise _refusal(self._location, other)
        storage.write_text(self._file, self._text())
        time.sleep(SETTLING_SECONDS)
        other = self._read()
        if other is not None and other["token"] != self._word["token"]:
            raise _refusal(self._location, other)

    def renew(self, ended: threading.Event) -> None:
        while not ended.wait(RENEWED_EVERY_SECONDS):
            with suppress(OSError):  # a store that does not answer now may do so the next time
                other = self._read()
                if other is not None and other["token"] != self._word["token"]:
                    self.lost_to = other
                    os.kill(os.getpid(), signal.SIGINT)
                    return
                storage.write_text(self._file, self._text())

    def release(self) -> None:
        other = self._read()
        if other is not None and other["token"] == self._word["token"]:
            storage.remove(self._file)

    def _text(self) -> str:
        return json.dumps({**self._word, "renewed": time.time()})

    def _read(self) -> dict[str, Any] | None:
        return _word_of(self._file)


def _word_of(file: str) -> dict[str, Any] | None:
    """Return the word of whoever owns a folder; None where there is none, or none that was written whole."""
    try:
        word = json.loads(storage.read_text(file))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, RecursionError):
        return None
    is_ours = isinstance(word, dict) and all(isinstance(word.get(name), kind) for name, kind in _WORD.items())
    return word if is_ours else None


def _lives(word: dict[str, Any]) -> bool:
    if word["host"] != platform.node():
        # One that was heard of in the future does not live: a folder would be locked for good.
        return bool(abs(time.time() - word["renewed"]) < DEAD_AFTER_SECONDS)
    try:
        process = psutil.Process(word["pid"])
        return process.create_time() == word["process_began"] and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return False


def _refusal(location: str, word: dict[str, Any]) -> UserError:
    silent = max(0, round(time.time() - word["renewed"]))
    return UserError(
        f"process {word['pid']} on {word['host']} is working on {location} (last heard of {silent} s ago)",
        "one process at a time",
        "wait until it ends, or stop it and give the command again. One that died with its machine is taken for dead "
        f"{DEAD_AFTER_SECONDS:.0f} s after it was last heard of",
    )


def _not_writable(location: str, error: OSError) -> UserError:
    return UserError(
        f"{location} cannot be written to: {type(error).__name__}: {error}",
        "a place that this process may write to",
        "name another place, or get the right to write there (in S3: s3:PutObject, s3:GetObject and s3:ListBucket)",
    )
