"""The quick preflight: what executors answer, and what of it is refused."""

import pytest

from hvdcells.errors import UserError
from hvdcells.spark.preflight import probe
from hvdcells.spark.preflight.checks import judge_places, judge_settings, judge_software
from hvdcells.spark.preflight.findings import Finding, gathered, raise_failed
from hvdcells.spark.preflight.probe import UNASKED
from hvdcells.spark.preflight.readiness import driver_facts, question, token_in
from hvdcells.spark.preflight.survey import ask_executors
from tests.hvdcells.spark.preflight import slow_probe

SAME = {"host": "a", "python": "3.11.2", "executable": "/p", "versions": {"numpy": "1", "hvdcells": "0.1"}}
DRIVER = {"python": "3.11.7", "versions": {"numpy": "1", "hvdcells": "0.1"}}


def states(findings):
    return [(finding.check, finding.where, finding.state) for finding in findings]


def test_the_same_software_is_fine_but_for_a_patch_of_python():
    assert states(judge_software(DRIVER, [SAME])) == [("Python", "a", "ok"), ("packages", "a", "ok")]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"python": "3.10.1"}, "3.10.1"),
        ({"versions": {"numpy": "2", "hvdcells": "0.1"}}, r"numpy 2 \(driver: 1\)"),
        ({"versions": {}}, r"numpy missing \(driver: 1\), hvdcells missing"),
    ],
)
def test_other_software_is_refused_with_the_host_that_has_it(other, words):
    with pytest.raises(UserError, match=words) as raised:
        raise_failed(judge_software(DRIVER, [SAME, {**SAME, "host": "b", **other}]))
    assert " on b: " in str(raised.value)
    assert " on a: " not in str(raised.value)


def test_places_are_judged_by_the_right_that_is_missing():
    facts = {**SAME, "readable": {"s3://b/d": "read: PermissionError: Forbidden"}, "run": "remove: OSError: no"}
    dataset, run = judge_places([facts])
    assert "s3:GetObject" in dataset.remedy
    assert "s3:PutObject" not in dataset.remedy
    assert "s3:DeleteObject" in run.remedy
    fine = {**SAME, "readable": {"s3://b/d": None}, "run": UNASKED}
    assert states(judge_places([fine])) == [("dataset", "a", "ok")]
    assert states(judge_places([{**fine, "versions": {}}])) == [("places", "a", "skipped")]


def test_settings_that_break_ranks_apart_are_refused():
    assert {finding.state for finding in judge_settings({})} == {"ok"}
    for name in ("spark.dynamicAllocation.enabled", "spark.speculation"):
        with pytest.raises(UserError, match=f"{name} is true") as raised:
            raise_failed(judge_settings({name: "True"}))
        assert f"--conf {name}=false" in raised.value.remedy


def test_the_same_on_many_hosts_is_one_line():
    findings = [Finding("disk", f"host-{number}", "ok", "much") for number in range(6)]
    findings.insert(2, Finding("disk", "other", "failed", "none"))
    first, second = gathered(findings)
    assert (first.where, second.where) == ("host-0, host-1, host-2 and 3 more", "other")


def test_a_run_directory_of_another_disk_is_told_from_the_drivers(tmp_path):
    with token_in(str(tmp_path)) as token:
        assert probe.access(probe.writing(str(tmp_path), token)) is None
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        assert "list: FileNotFoundError" in probe.access(probe.writing(str(elsewhere), token))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()], "nothing is left"


@pytest.mark.spark
def test_every_slot_answers_at_the_same_time(spark, tmp_path):
    answers = ask_executors(spark, 2, probe.ask, question(None, None, None))
    assert len(answers) == 2
    assert {state for _, _, state in states(judge_software(driver_facts(), answers))} == {"ok"}
    assert spark.sparkContext.getLocalProperty("spark.jobGroup.id") is None


@pytest.mark.spark
def test_another_python_is_told_as_such(spark, monkeypatch):
    monkeypatch.setattr(spark.sparkContext, "pythonVer", "3.9")
    with pytest.raises(UserError, match="another Python than the driver") as raised:
        ask_executors(spark, 2, probe.ask, question(None, None, None))
    assert "PYSPARK_PYTHON" in raised.value.remedy


@pytest.mark.spark
def test_a_missing_python_is_told_as_such(spark, monkeypatch):
    monkeypatch.setattr(spark.sparkContext, "pythonExec", "/nowhere/python")
    with pytest.raises(UserError, match="cannot start /nowhere/python"):
        ask_executors(spark, 2, probe.ask, question(None, None, None))


@pytest.mark.spark
def test_executors_that_do_not_answer_are_given_up(spark):
    with pytest.raises(UserError, match="no answer in 1 s"):
        ask_executors(spark, 1, slow_probe.never_answer, None, limit_seconds=1)
