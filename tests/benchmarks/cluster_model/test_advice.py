"""Advice: the cheapest cluster for a deadline, the fastest one for a budget, and the command that gives it."""

import json
import subprocess
import sys
from itertools import pairwise

import pytest

from benchmarks.cluster_model.advice import Job, choose, offers
from benchmarks.cluster_model.gpu_rates import GpuRate, rates_for
from benchmarks.cluster_model.gradients import of_model
from benchmarks.cluster_model.published import Constants
from hvdcells.errors import UserError
from launch.clusters.instances import catalogue

RATES = {"T4": GpuRate(150, 64, "given"), "A10G": GpuRate(300, 64, "given")}
CONSTANTS = Constants(2e-5, 0.5, 0.03)
JOB = Job(of_model("resnet50"), 20_000, 30, "emr", False, 600)


@pytest.fixture(scope="module")
def frontier():
    return offers(JOB, RATES, catalogue(), CONSTANTS)


def test_who_is_slower_is_cheaper(frontier):
    assert len(frontier) > 3
    pairs = list(pairwise(frontier))
    assert all(slower.hours >= faster.hours and slower.usd < faster.usd for faster, slower in pairs)


def test_cheapest_for_a_deadline_and_fastest_for_a_budget(frontier):
    for offer in frontier:
        assert choose(frontier, deadline_hours=offer.hours, budget_usd=None) == offer
        assert choose(frontier, deadline_hours=None, budget_usd=offer.usd) == offer


def test_one_gpu_by_hand(frontier):
    job = Job(of_model("resnet50"), 20_000, 30, "emr", False, 600, max_gpus=1)
    offer = next(o for o in offers(job, {"T4": RATES["T4"]}, catalogue(), CONSTANTS) if o.instance == "g4dn.xlarge")
    hours = (600 + 30 * 313 * 64 / 150) / 3600  # 313 steps of 64 hold 20,000 images
    assert offer.hours == pytest.approx(hours)
    table = catalogue()
    usd_per_hour = table.usd_per_hour("g4dn.xlarge", "emr") + table.usd_per_hour("m5.xlarge", "emr")
    assert offer.usd == pytest.approx(hours * usd_per_hour)


def test_spot_costs_less_and_sagemaker_has_no_primary_machine(frontier):
    table = catalogue().model_copy(update={"spot_fractions": (0.1, 0.5)})  # a table of the user's
    spot = offers(Job(of_model("resnet50"), 20_000, 30, "emr", True, 600), RATES, table, CONSTANTS)
    assert spot[-1].usd < frontier[-1].usd
    job = Job(of_model("resnet50"), 20_000, 30, "sagemaker", False, 600)
    offer = offers(job, RATES, catalogue(), CONSTANTS)[-1]
    price = catalogue().usd_per_hour(offer.instance, "sagemaker")
    assert offer.usd == pytest.approx(offer.hours * offer.num_hosts * price)


def test_a_batch_of_the_whole_dataset_is_not_offered(frontier):
    assert max(offer.global_batch for offer in frontier) <= 20_000 / JOB.min_steps_per_epoch


def test_what_cannot_be_kept_is_refused_with_what_can(frontier):
    with pytest.raises(UserError, match=rf"at least {frontier[0].hours:.2f} h"):
        choose(frontier, deadline_hours=frontier[0].hours / 2, budget_usd=None)
    with pytest.raises(UserError, match=rf"\${frontier[-1].usd:,.2f}"):
        choose(frontier, deadline_hours=None, budget_usd=frontier[-1].usd / 2)


def test_a_gpu_that_no_machine_has_is_refused():
    with pytest.raises(UserError, match=r"H900[\s\S]*A10G"):
        offers(JOB, {"H900": RATES["T4"]}, catalogue(), CONSTANTS)


def test_rates_that_are_given_go_before_published_ones():
    assert rates_for("resnet50_imagenet", 64, ["V100=500"])["V100"] == GpuRate(500, 64, "given")
    assert rates_for("resnet50_imagenet", 64, [])["V100"].source != "given"


def test_published_rates_of_mixed_precision_are_taken_where_they_are_asked_for():
    full, mixed = (rates_for("resnet50_imagenet", 64, [], mixed_precision=mixed) for mixed in (False, True))
    assert (full["V100"].images_per_second, mixed["V100"].images_per_second) == (412, 1270)
    assert (full["A100"].images_per_second, mixed["A100"].images_per_second) == (909, 2375)
    assert set(mixed) == {"V100", "A100"}


@pytest.mark.parametrize("text", ["T4", "T4=", "=5", "T4=0", "T4=-1", "T4=nan", "T4=inf"])
def test_rates_that_are_none_are_refused(text):
    with pytest.raises(UserError, match="GPU=IMAGES_PER_SECOND"):
        rates_for("resnet50", 64, [text])


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.predict", *arguments], capture_output=True, text=True, timeout=120
    )


def test_command_advises_from_a_price_table_of_the_user(tmp_path):
    table = json.loads(catalogue().model_dump_json())
    table["instances"] = {"m5.xlarge": table["instances"]["m5.xlarge"], "mine": table["instances"]["g4dn.xlarge"]}
    (tmp_path / "prices.json").write_text(json.dumps(table))
    done = run(
        *("--advise", "--model", "resnet50", "--gpu-rate", "T4=150", "--images", "20000", "--epochs", "30"),
        *("--deadline-hours", "1", "--prices", str(tmp_path / "prices.json"), "--out", str(tmp_path / "advice.json")),
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "advice.json").read_text())
    assert result["chosen"]["instance"] == "mine"
    assert result["chosen"]["hours"] <= 1
    assert {offer["instance"] for offer in result["offers"]} == {"mine"}
    assert "not measured here" in " ".join(done.stdout.split())


def test_command_predicts_8_to_512_gpus(tmp_path):
    done = run("--model", "resnet50", "--gpu-rate", "T4=150", "--out", str(tmp_path / "predictions.json"))
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "predictions.json").read_text())["gpus"]["T4"]["predictions"]
    assert [row["num_gpus"] for row in rows] == [8, 16, 32, 64, 128, 256, 512]
    rates = [row["images_per_second"] for row in rows]
    assert rates == sorted(rates)


def test_command_reports_all_problems_together_and_ends_with_2():
    done = run("--advise", "--model", "resnet50", "--gpu-rate", "T4=150", "--service", "moon")
    assert done.returncode == 2
    for word in ("--images", "--epochs", "--deadline-hours", "moon"):
        assert word in done.stderr
    assert "Traceback" not in done.stderr
