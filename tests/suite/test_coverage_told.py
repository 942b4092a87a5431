"""The share of lines in the README."""

import pytest

from tests.suite.coverage_told import README, told


def test_the_share_is_rounded_down_and_nothing_else_changes():
    readme = README.read_text()
    assert "that the tests cover: 93 % (" in told(readme, 93.97)
    assert told(told(readme, 12), 55) == told(readme, 55)


def test_a_readme_without_the_sentence_is_told():
    with pytest.raises(ValueError, match="0 sentences"):
        told("# hvdcells", 93)
