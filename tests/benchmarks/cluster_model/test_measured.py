"""The fit: it finds the constants that points were made with, and predicts measured points it has not seen."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.cluster_model.cluster import Link
from benchmarks.cluster_model.measured import ClusterFit, MeasuredPoint, WorkloadFit, fit
from benchmarks.cluster_model.measured_points import measured_point
from benchmarks.scaling.point import read_points
from hvdcells.errors import UserError

POINTS = Path(__file__).parent / "points"
"""One machine of two cores, one to four ranks with a thread each, four workloads; the faster of two rounds."""

TRUTH = ClusterFit(
    {("small", "memory"): WorkloadFit(0.01, 0.002, 0), ("large", "memory"): WorkloadFit(0.02, 0.01, 0.001)},
    core_sharing=0.05,
    link=Link(2e-4, 4e8),
    jitter=0.02,
)


def measured_points() -> list[MeasuredPoint]:
    return list(map(measured_point, read_points(POINTS)))


def made(model: str, batch_size: int, world_size: int) -> MeasuredPoint:
    """Return a point as the true constants would give it."""
    workload = TRUTH.workloads[model, "memory"]
    sizes = {"small": 1_000_000, "large": 60_000_000}
    point = MeasuredPoint(
        model, "memory", world_size, batch_size, 1, 1, 0, sizes[model], world_size / 2, min(world_size, 2) - 1
    )
    return replace(
        point,
        step_seconds=TRUTH.step_seconds(point),
        compute_seconds=workload.compute_seconds(batch_size) * TRUTH.sharing(point),
        input_seconds=workload.input_image_seconds * batch_size * TRUTH.sharing(point),
    )


def test_fit_finds_the_constants_that_points_were_made_with():
    seen = [made(model, batch, ranks) for model in ("small", "large") for batch in (8, 64) for ranks in (1, 2)]
    found = fit(seen)
    assert found.core_sharing == pytest.approx(TRUTH.core_sharing)
    assert found.jitter == pytest.approx(TRUTH.jitter, rel=1e-3)
    assert found.link.latency_seconds == pytest.approx(TRUTH.link.latency_seconds, rel=1e-2)
    assert found.link.bytes_per_second == pytest.approx(TRUTH.link.bytes_per_second, rel=1e-3)
    for key, workload in TRUTH.workloads.items():
        assert found.workloads[key].compute_seconds(32) == pytest.approx(workload.compute_seconds(32))
        assert found.workloads[key].input_image_seconds == pytest.approx(workload.input_image_seconds)
    unseen = made("large", 32, 4)
    assert found.step_seconds(unseen) == pytest.approx(unseen.step_seconds, rel=1e-3)


def test_three_and_four_ranks_are_predicted_from_one_and_two(record_property):
    points = measured_points()
    assert {point.world_size for point in points} == {1, 2, 3, 4}
    found = fit([point for point in points if point.world_size <= 2])
    errors = {
        f"{point.model}, batch {point.batch_size_per_rank}, {point.world_size} ranks": round(
            found.step_seconds(point) / point.step_seconds - 1, 3
        )
        for point in points
        if point.world_size > 2
    }
    record_property("step_predicted_to_measured", errors)
    sizes = list(map(abs, errors.values()))
    assert len(sizes) == 8
    assert max(sizes) < 0.2, errors
    assert sum(sizes) / len(sizes) < 0.1, errors


def test_cores_that_are_shared_make_a_difference_that_the_fit_must_know_of():
    points = measured_points()
    found = fit([point for point in points if point.world_size <= 2])
    four = [point for point in points if point.world_size == 4]
    for point in four:
        own_machines = replace(point, core_demand=0.5, num_further_busy_cores=0)
        assert found.step_seconds(own_machines) < 0.75 * point.step_seconds


def test_points_of_one_rank_alone_are_refused():
    with pytest.raises(UserError, match=r"one rank alone[\s\S]*--workers 1,2"):
        fit([made("small", 8, 1)])


def test_a_workload_without_a_point_of_one_rank_is_named():
    with pytest.raises(UserError, match="large on memory"):
        fit([made("small", 8, 1), made("large", 8, 2)])


def test_a_file_that_is_no_point_is_named(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "b.json").write_text("no JSON")
    with pytest.raises(UserError, match=r"a\.json[\s\S]*b\.json"):
        read_points(tmp_path)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="no points"):
        read_points(tmp_path)
