"""Slots: Spark's own count, and the word to one who waits for more."""

import pytest

from hvdcells.errors import UserError
from hvdcells.spark import slots


@pytest.mark.spark
def test_spark_counts_its_slots_and_gives_enough_at_once(spark, capsys):
    assert slots.num_slots(spark)[0] == 2
    slots.wait_for_slots(spark, 2, timeout_seconds=60)
    assert capsys.readouterr().out == ""


@pytest.mark.spark
def test_too_few_slots_say_so_and_end_with_the_reason(spark, capsys, monkeypatch):
    monkeypatch.setattr(slots, "FIRST_WORD_SECONDS", 0)
    with pytest.raises(UserError, match=r"3 workers.*given 2 task slots in 0.5 s"):
        slots.wait_for_slots(spark, 3, timeout_seconds=0.5)
    assert "Waiting for 3 workers: Spark has given 2 task slots" in capsys.readouterr().out


@pytest.mark.parametrize("timeout_seconds", [0, 60])
def test_slots_that_other_jobs_hold_are_not_free(timeout_seconds, monkeypatch, capsys):
    states = iter([(2, 1), (2, 1), (2, 0)])
    monkeypatch.setattr(slots, "num_slots", lambda spark: next(states))
    monkeypatch.setattr(slots, "POLL_SECONDS", 0)
    monkeypatch.setattr(slots, "FIRST_WORD_SECONDS", 0)
    spark = type("Spark", (), {"sparkContext": type("Context", (), {"master": "yarn"})})
    if timeout_seconds:
        slots.wait_for_slots(spark, 2, timeout_seconds)
        assert capsys.readouterr().out.count("1 of them held by other jobs") == 1, "said once, not at every look"
        return
    with pytest.raises(UserError, match="held by other jobs of this session"):
        slots.wait_for_slots(spark, 2, timeout_seconds)
