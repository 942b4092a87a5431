"""Releases of EMR: which is the default, and what is said of those that are not supported."""

from datetime import date, timedelta

import pytest

from launch.emr.releases import DEFAULT, RELEASES, warning_about


def test_the_default_is_supported_longest():
    assert max(RELEASES, key=lambda label: RELEASES[label].supported_until) == DEFAULT == "emr-7.14.0"


@pytest.mark.parametrize("label", RELEASES)
def test_support_is_told_from_the_day_after_its_last(label):
    last = RELEASES[label].supported_until
    assert warning_about(label, last) is None
    assert str(last) in warning_about(label, last + timedelta(days=1))


def test_a_release_that_nothing_is_known_of_is_told():
    assert "emr-7.14.0, emr-7.13.0" in warning_about("emr-7.11.0", date(2026, 11, 25))
