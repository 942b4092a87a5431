"""The model against what Horovod's authors published."""

import pytest

from benchmarks.cluster_model import published, published_hosts
from benchmarks.cluster_model.gradients import known_models, of_model


@pytest.mark.parametrize(
    ("model", "million_parameters"),
    [
        ("inception_v3_imagenet", 23.8),
        ("resnet101_imagenet", 44.6),
        ("vgg16_imagenet", 138.4),
        ("resnet50", 23.5),
        ("efficientnet_b4_imagenet", 19.3),
    ],
)
def test_table_of_gradients_has_the_known_numbers_of_parameters(model, million_parameters):
    assert of_model(model).num_bytes / 4e6 == pytest.approx(million_parameters, abs=0.1)


@pytest.mark.parametrize("model", known_models())
def test_gradients_are_ready_between_the_forward_pass_and_the_end(model):
    times = [seconds for seconds, _ in of_model(model).ready(0.9)]
    assert times == sorted(times)
    assert times[0] >= 0.3
    assert times[-1] == pytest.approx(0.9)


def test_vgg_has_most_of_its_gradients_at_the_start_of_back_propagation():
    early = sum(num_bytes for seconds, num_bytes in of_model("vgg16_imagenet").ready(1.0) if seconds < 0.4)
    assert early / of_model("vgg16_imagenet").num_bytes > 0.85


def test_512_gpus_are_predicted_from_16_and_128_within_10_points_of_what_was_published():
    rows = [row for row in published.compare() if row.num_gpus == 512]
    assert [row.published for row in rows] == [0.90, 0.90, 0.68]
    assert not any(row.calibrated for row in rows)
    errors = {row.model: round(row.error_points, 1) for row in rows}
    assert max(map(abs, errors.values())) < 10, errors


def test_constants_are_plausible_for_the_hardware():
    constants = published.calibrate()
    assert 1e-6 < constants.latency_seconds < 1e-4
    assert 0.6 < constants.bandwidth_share < 1
    assert constants.jitter < 0.06
    assert published.calibrate_tcp().bandwidth_share < constants.bandwidth_share


EXCEPTION = ("efficientnet_b4_imagenet", "V100", "float32")
"""Lost 17 points between one host and four, for a reason that was not published: docs/scaling.md shows it."""


def test_more_hosts_are_predicted_from_one_full_host_within_10_points_of_what_was_published():
    rows = published_hosts.compare()
    assert {row.num_gpus for row in rows if row.calibrated} == {8}
    assert all(abs(row.error_points) < 1e-6 for row in rows if row.calibrated)
    predicted = {(row.model, row.gpu, row.precision, row.num_gpus): row for row in rows if not row.calibrated}
    # Published, and named by docs/scaling.md.
    assert predicted["efficientnet_b0_imagenet", "A100", "mixed", 16].published == pytest.approx(0.735, abs=5e-4)
    assert predicted["efficientnet_b0_imagenet", "V100", "mixed", 32].published == pytest.approx(0.663, abs=5e-4)
    assert predicted["efficientnet_b4_imagenet", "A100", "mixed", 64].published == pytest.approx(0.846, abs=5e-4)
    errors = {key: round(row.error_points, 1) for key, row in predicted.items() if key[:3] != EXCEPTION}
    assert len(errors) == 10
    assert max(map(abs, errors.values())) < 10, errors
