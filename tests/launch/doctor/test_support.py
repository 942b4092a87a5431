"""The doctor's table of what is out of support."""

from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path

import pytest

from launch.doctor.support import TABLE, judge_support

ENTRY = TABLE[0]
DOCUMENT = Path(__file__).parents[3] / "docs" / "dependencies.md"


def test_a_version_is_warned_of_from_the_day_its_support_ended():
    installed = {ENTRY.package: f"{ENTRY.series}1"}.get
    assert judge_support(ENTRY.ended - timedelta(days=1), TABLE, installed).state == "ok"
    finding = judge_support(ENTRY.ended, TABLE, installed)
    assert finding.state == "warning"
    assert f"{ENTRY.package} {ENTRY.series}1" in finding.found
    assert "2026-11-25" in finding.found


@pytest.mark.parametrize("found", ["2.19.1", "2.1.0", None])
def test_other_versions_are_not(found):
    assert judge_support(date(2030, 1, 1), (ENTRY,), lambda _: found).state == "ok"


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.package)
def test_the_table_is_about_what_is_pinned_and_the_document_tells_of_it(entry):
    """When a pin moves on, its row can go."""
    assert version(entry.package).startswith(entry.series)
    assert f"| {entry.package} {entry.series.rstrip('.')}" in DOCUMENT.read_text()
