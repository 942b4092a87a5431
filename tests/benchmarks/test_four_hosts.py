"""ETL, training and evaluation by the user's commands; here without hosts of their own (test_cluster.py has those)."""

import json
import subprocess
import sys
from contextlib import contextmanager

import pytest

from benchmarks import four_hosts
from benchmarks.cluster import Cluster
from tests.processes import ROOT


def test_more_workers_than_hosts_are_refused(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.four_hosts", "--workers", "1,8", "--out", str(tmp_path / "out.json")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "--workers 1,8 on 4 hosts" in done.stderr
    assert not (tmp_path / "out.json").exists()


@pytest.mark.slow
@pytest.mark.ranks
@pytest.mark.spark
def test_all_stages_run_and_the_result_names_hosts_and_scores(monkeypatch):
    @contextmanager
    def no_hosts(hosts):
        yield Cluster(f"local[{hosts}]", "not in this test")

    monkeypatch.setattr(four_hosts, "standing_cluster", no_hosts)
    settings = ["training.epochs=1", "model.width=0.2", "data.batch_size=4"]
    result = json.loads(json.dumps(four_hosts.measure(2, [1, 2], 8, 10, 24, settings)))
    assert [run["workers"] for run in result["runs"]] == [1, 2]
    assert [len(run["hosts"]) for run in result["runs"]] == [1, 2]
    scores = [run["test_weighted_f1"] for run in result["runs"]]
    assert all(0 <= score <= 1 for score in scores)
    assert result["largest_f1_difference"] == pytest.approx(abs(scores[0] - scores[1]), abs=1e-4)
    assert result["every_rank_on_its_own_host"] is False
    assert result["images"] == 80
