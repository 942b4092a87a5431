"""Signals do what they do in a terminal, however the suite was started: shells ignore some in the background."""

import signal

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Take back what is ignored: processes that tests start would ignore it too."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
