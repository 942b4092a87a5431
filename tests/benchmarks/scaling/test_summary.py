"""From what ranks measured to a point."""

import pytest

from benchmarks.scaling.plan import plan
from benchmarks.scaling.point import ScalingPoint, scaling_efficiencies
from benchmarks.scaling.summary import core_demand, point_of, sample_of
from tests.benchmarks.scaling.made import outcome, rank, request
from tests.small_dataset import write_small_dataset


def measured(planned, **changes) -> ScalingPoint:
    found = outcome(planned)
    for each in found["ranks"]:
        each.update(changes)
    return point_of(planned, [sample_of(found, planned.request.steps)], found, usd_per_host_hour=0.36)


def test_rates_efficiencies_and_cost_by_hand():
    alone, two = (measured(planned) for planned in plan(request(master="spark://host:7077"), None))
    assert alone.images_per_second == 100  # 8 images in 80 ms
    assert two.images_per_second == 180
    assert scaling_efficiencies([alone, two]) == {1: 1, 2: 0.9}
    assert (alone.communication_efficiency, two.communication_efficiency) == (None, 0.9)
    assert two.communication_seconds == pytest.approx(0.08 / 0.9 - 0.08, rel=1e-3)
    assert two.input_seconds == 0.001
    assert two.hosts == ["hv1", "hv2"]
    assert two.usd_per_million_images == pytest.approx(2 * 0.36 / 3600 / 180 * 1e6, rel=1e-3)
    assert two.start_up_seconds == {"spark": 3.0, "process": 5.0, "imports": 5.5, "first_step": 8.0}
    assert two.global_batch == 16


def test_a_point_round_trips_and_keeps_no_secret():
    point = measured(plan(request(), None)[1])
    text = point.model_dump_json()
    assert ScalingPoint.model_validate_json(text) == point
    assert "do not tell" not in text
    assert point.environment["versions"]["horovod"]
    assert point.horovod_settings["cycle_time_ms"] == 2.0


def test_a_block_lasts_as_long_as_its_slowest_rank_and_independent_ranks_add_up():
    fast, slow = rank(16, 0.1, 10, 2, 0.02), rank(16, 0.2, 10, 2, 0.02)
    found = sample_of({"ranks": [fast, slow], "spark_seconds": 1.0}, 10)
    assert found.images_per_second == 80
    assert found.independent_images_per_second == pytest.approx(8 / 0.08 + 8 / 0.18, rel=1e-3)


@pytest.mark.parametrize(
    ("cores_of_ranks", "demand"),
    [
        ([[0, 1]], 0.5),
        ([[0, 1], [0, 1]], 1),
        ([[0, 1]] * 4, 2),
        ([[0], [1], [0]], 2),  # bound to their cores: that core 1 has room does not help
        ([[0], [0, 1]], 1),
    ],
)
def test_core_demand_is_that_of_the_most_crowded_cores(cores_of_ranks, demand):
    ranks = [rank(8, 0.1, 10, 1, cores=cores) for cores in cores_of_ranks]
    assert core_demand(ranks) == demand


def test_ranks_of_other_machines_do_not_crowd():
    assert core_demand([rank(8, 0.1, 10, 1, cores=[0], machine=str(n)) for n in range(4)]) == 1
    assert core_demand([rank(8, 0.1, 10, 1, cores=[0], device="gpu") for _ in range(4)]) == 0


def test_shared_cores_and_one_machine_behind_the_hosts_are_said():
    planned = plan(request(master="spark://host:7077"), None)[1]
    notes = " ".join(measured(planned, cores=[0]).notes)
    assert "Ranks share cores: 2 compute threads for each core" in notes
    assert "2 hosts of 1 machine" in notes
    assert measured(planned, cores=[0, 1]).shares_cores is False


def test_a_dataset_point_says_whether_images_stayed_in_memory(tmp_path):
    dataset = write_small_dataset(tmp_path, {"train": [[8, 8]]})
    kept = plan(request(inputs=("dataset",)), dataset)[0]
    assert "Images stay in memory once they are read." in measured(kept).notes
    read = request(inputs=("dataset",), experiment=kept.experiment.override({"data.cache_bytes": 0}))
    assert "Every image is read and decoded anew in each epoch." in measured(plan(read, dataset)[0]).notes
