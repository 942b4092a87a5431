"""What a cluster has cost, from the times of its machines."""

import json
from datetime import UTC, datetime

import pytest

from hvdcells.errors import UserError
from hvdcells.runs.directory import RunDirectory
from launch.clusters.instances import catalogue
from launch.emr.cost import add_cost, cost_of

START = 1_700_000_000


def machine(name: str, hours: float | None, market: str = "ON_DEMAND", began: bool = True) -> dict:
    """One machine as ListInstances answers; without hours it still runs."""
    times: dict[str, float] = {"CreationDateTime": START - 300.0} | ({"ReadyDateTime": float(START)} if began else {})
    if hours is not None:
        times["EndDateTime"] = START + 3600 * hours
    status = {"State": "TERMINATED" if hours is not None else "RUNNING", "Timeline": times}
    return {"Id": "ci-1", "InstanceType": name, "Market": market, "Status": status}


class Answers:
    """A client of EMR with these machines."""

    def __init__(self, *machines: dict) -> None:
        for each in machines:
            times = each["Status"]["Timeline"]
            each["Status"]["Timeline"] = {key: datetime.fromtimestamp(value, UTC) for key, value in times.items()}
        self.machines = machines

    def get_paginator(self, _: str) -> "Answers":
        return self

    def paginate(self, **_: str) -> list[dict]:
        return [{"Instances": [each]} for each in self.machines]


def test_hours_of_each_machine_are_counted_by_type_and_market():
    emr = Answers(
        machine("m5.xlarge", 2.0),
        machine("g4dn.xlarge", 2.0, "SPOT"),
        machine("g4dn.xlarge", 0.5, "SPOT"),
        machine("g4dn.xlarge", None, "SPOT"),
        machine("g4dn.xlarge", 1.0, began=False),
    )
    table = catalogue()
    costs = cost_of(emr, "j-1", table, now=START + 3600 * 3)
    spot = table.known_usd_per_hour("g4dn.xlarge", "emr", spot=True)
    by_type = {row.instance_type: row for row in costs.rows}
    assert by_type["g4dn.xlarge"].hours == pytest.approx(5.5)
    assert by_type["g4dn.xlarge"].role == "3 machines"
    assert by_type["g4dn.xlarge"].usd == pytest.approx(5.5 * spot.most, abs=1e-3)
    assert by_type["g4dn.xlarge"].usd_least == pytest.approx(5.5 * spot.least, abs=1e-3)
    assert costs.usd == pytest.approx(5.5 * spot.most + 2 * table.usd_per_hour("m5.xlarge", "emr"), abs=1e-3)


def test_a_machine_of_seconds_is_billed_a_minute_and_none_is_refused():
    assert cost_of(Answers(machine("m5.xlarge", 0.001)), "j-1", catalogue()).rows[0].hours == pytest.approx(1 / 60)
    with pytest.raises(UserError, match="none of whose machines"):
        cost_of(Answers(machine("m5.xlarge", 1.0, began=False)), "j-1", catalogue())


def test_a_run_that_went_on_on_a_second_cluster_has_cost_both(tmp_path):
    run = RunDirectory.at(tmp_path)
    first = cost_of(Answers(machine("m5.xlarge", 2.0)), "j-1", catalogue())
    second = cost_of(Answers(machine("g6.xlarge", 1.0)), "j-2", catalogue())
    add_cost(run, "j-1", {**first.to_dict(), "usd": 99.0})
    add_cost(run, "j-1", first.to_dict())
    add_cost(run, "j-2", second.to_dict())
    kept = run.read_json(run.cost)
    assert kept["usd"] == pytest.approx(first.usd + second.usd)
    assert kept["missing"] == ["EMR's surcharge of g6.xlarge"]
    assert set(kept["clusters"]) == {"j-1", "j-2"}


@pytest.mark.aws
def test_the_command_tells_the_cost_and_writes_it_only_into_a_run(emr, run, launched, tmp_path, monkeypatch):
    emr.answers("ListInstances", {"Instances": [machine("m5.xlarge", 2.0), machine("g6.xlarge", 2.0)]})
    done = run("emr", "cost", launched)
    assert done.exit_code == 0, done.exception
    told = " ".join(done.output.split())
    for words in ("1 machines", "g6.xlarge", "2.00", "more than 2.09 USD", "EMR's surcharge of g6.xlarge, disks"):
        assert words in told
    assert "there is no run" in str(run("emr", "cost", launched, "--run", str(tmp_path)).exception)
    (tmp_path / "run.json").write_text("{}")
    monkeypatch.setattr("hvdcells.report.write_report", lambda directory: directory.report)
    assert run("emr", "cost", launched, "--run", str(tmp_path)).exit_code == 0
    assert json.loads((tmp_path / "cost.json").read_text())["usd"] == pytest.approx(2.09, abs=0.01)
