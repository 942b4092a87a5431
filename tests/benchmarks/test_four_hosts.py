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
    result = json.loads(json.dumps(four_hosts.measure(2, [2], 8, 10, 24, settings)))
    (run,) = result["runs"]
    assert run["workers"] == len(run["hosts"]) == 2
    assert 0 <= run["test_weighted_f1"] <= 1
    assert run["images_per_second"] > 0
    assert result["every_rank_on_its_own_host"] is False
    assert result["fallback_reason"] == "not in this test"
    assert result["images"] == 80


@pytest.mark.parametrize(("score_of_four", "difference"), [(0.93, 0.02), (0.80, 0.11)])
def test_the_largest_difference_in_f1_is_that_between_any_two_runs(monkeypatch, score_of_four, difference):
    @contextmanager
    def no_hosts(hosts):
        yield Cluster("local[4]", "not in this test")

    def trained(cluster, dataset, run, workers, settings):
        score = {1: 0.91, 4: score_of_four}[workers]
        hosts = [f"hv{number + 1}" for number in range(workers)]
        return {
            **{"workers": workers, "hosts": hosts, "train_seconds": 1.0},
            **{"validation_weighted_f1": 0.9, "test_weighted_f1": score},
        }

    monkeypatch.setattr(four_hosts, "standing_cluster", no_hosts)
    monkeypatch.setattr(four_hosts, "synthesize", lambda *_: None)
    monkeypatch.setattr(four_hosts, "run_on", lambda *_: 1.0)
    monkeypatch.setattr(four_hosts, "train_and_evaluate", trained)
    result = four_hosts.measure(4, [1, 4], 8, 10, 24, [])
    assert result["largest_f1_difference"] == pytest.approx(difference)
    assert result["every_rank_on_its_own_host"] is True
    assert result["hosts"] == ["hv1", "hv2", "hv3", "hv4"]
