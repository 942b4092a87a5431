"""With pytest-xdist, the tests of a file share a worker, and what takes longest comes first.

A file's fixtures are so made once, and at the end no worker waits long for another. A test that is long by itself and
shares no fixture of its file may go where there is room: it is marked `xdist_group` with a name of its own.
"""

from collections import defaultdict

import pytest

SECONDS = {"slow": 15, "ranks": 8, "spark": 2, "tensorflow": 2, "aws": 1}
"""What a test with a mark takes, roughly; `slow(seconds=…)` says more."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "xdist_group(name): tests that share a worker of pytest-xdist")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not hasattr(config, "workerinput"):
        return
    seconds: defaultdict[str, float] = defaultdict(float)
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.relative_to(config.rootpath).with_suffix("").as_posix()))
        seconds[group_of(item)] += seconds_of(item)
    items.sort(key=lambda item: -seconds[group_of(item)])


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to run without groups: pytest-xdist marks them in the names of tests, and not with every pytest."""
    is_grouped = hasattr(session.config, "workerinput") and session.config.getoption("loadgroup")
    if is_grouped and any(f"@{group_of(item)}" not in item.nodeid for item in session.items):
        raise pytest.UsageError(f"pytest {pytest.__version__} and this pytest-xdist do not keep groups together")


def group_of(item: pytest.Item) -> str:
    group = item.get_closest_marker("xdist_group")
    return str(group.args[0]) if group else item.nodeid


def seconds_of(item: pytest.Item) -> float:
    """Return about how long a test takes."""
    slow = item.get_closest_marker("slow")
    if slow and "seconds" in slow.kwargs:
        return slow.kwargs["seconds"]
    return max((SECONDS[mark.name] for mark in item.iter_markers() if mark.name in SECONDS), default=0.05)
