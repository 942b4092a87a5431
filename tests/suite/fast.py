"""`pytest --fast`: the tests that need neither TensorFlow nor Java nor hosts; one that uses them all the same fails."""

import os
import re
from pathlib import Path

import pytest

from tests.suite.guard.sitecustomize import forbid

HEAVY = ("spark", "ranks", "aws", "hosts", "slow", "tensorflow")
"""The marks of tests that are not fast."""
ALL_OF_FILE = re.compile(rf"^pytestmark = .*pytest\.mark\.({'|'.join(HEAVY)})\b", re.MULTILINE)
GUARD = Path(__file__).parent / "guard"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help=f"only tests that are marked with none of {', '.join(HEAVY)}")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.fast and config.getoption("dist", "no") == "no":  # no tests run in the one that has workers
        forbid(pytest.fail.Exception)
        # Processes that tests start keep to the same: Python imports `sitecustomize` at its start.
        os.environ["PYTHONPATH"] = os.pathsep.join([str(GUARD), *filter(None, [os.environ.get("PYTHONPATH")])])


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import a file all of whose tests are heavy."""
    if config.option.fast and collection_path.suffix == ".py" and ALL_OF_FILE.search(collection_path.read_text()):
        return True
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.fast:
        heavy = {item for item in items if any(item.get_closest_marker(mark) for mark in HEAVY)}
        config.hook.pytest_deselected(items=list(heavy))
        items[:] = [item for item in items if item not in heavy]
