"""What several tests of the ETL stage start from."""

import pytest

from tests.etl.cells import write_cnmc


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A small source in the layout of C-NMC; a test that changes it copies it first."""
    root = tmp_path_factory.mktemp("source")
    write_cnmc(root)
    return root
