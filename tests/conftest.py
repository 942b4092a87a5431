"""Fixtures of all tests."""

import pytest


@pytest.fixture(scope="session")
def spark():
    """One Spark session for the whole test run."""
    from hvdcells.spark import spark_session

    with spark_session("local[2]") as session:
        yield session
