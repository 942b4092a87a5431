"""Real ranks: what N of them compute is what one computes."""

import re
import signal

import numpy as np
import pytest

from hvdcells.errors import UserError
from hvdcells.scores.classification import classification_scores
from hvdcells.scores.prediction_table import probabilities_of
from hvdcells.spark.backends import HorovodOnSpark, RankFailedError
from tests.hvdcells.rank.rank_checks import Updates
from tests.small_dataset import write_small_dataset

pytestmark = [pytest.mark.spark, pytest.mark.ranks]

CHECKS = "tests.hvdcells.rank.rank_checks"
JOBS = {
    "plain": Updates(),
    "padded": Updates(real_images=11),
    "adam": Updates({"optimizer.name": "adam"}),
    "clipped": Updates({"optimizer.gradient_clip_norm": 0.01}, num_updates=1),
    "accumulated": Updates({"training.accumulation_steps": 2}),
    "decayed": Updates({"optimizer.name": "adamw", "optimizer.weight_decay": 0.1}),
    "focal": Updates({"training.loss": "focal", "training.label_smoothing": 0.1}),
    "keras 3": Updates({"model.backbone": "tests.hvdcells.rank.models.functions:keras3_classifier"}),
    "four classes": Updates(num_classes=4),
    "four classes, padded, focal": Updates(
        {"training.loss": "focal", "training.label_smoothing": 0.1}, real_images=11, num_classes=4
    ),
    "four classes, accumulated": Updates({"training.accumulation_steps": 2}, num_classes=4),
    "four classes, mixed": Updates({"training.mixed_precision": True}, num_updates=8, num_classes=4),
    "two groups": Updates(num_groups=2),
    "no groups": Updates(num_groups=0),
    "compressed": Updates({"communication.compression": "fp16"}),
    "mixed": Updates({"training.mixed_precision": True}, num_updates=8),
    "mixed bfloat16": Updates({"training.mixed_precision": "bfloat16"}),
    "compiled": Updates({"training.jit_compile": True}),
    "adam, measured before": Updates({"optimizer.name": "adam"}, measured_before=True),
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    groups = {"train": [[8] * 4], "validation": [[7, 7], [5]], "test": [[4]]}
    return write_small_dataset(tmp_path_factory.mktemp("dataset"), groups)


@pytest.fixture(scope="module")
def results(spark, dataset, tmp_path_factory):
    """Results of the checks by world size, then by rank."""
    argument = (list(JOBS.values()), dataset.location)
    logs = str(tmp_path_factory.mktemp("logs"))
    return {world: HorovodOnSpark(world).run(f"{CHECKS}:all_checks", argument, logs) for world in (1, 2)}


def updates(results, world, name):
    return [by_rank[0][list(JOBS).index(name)] for by_rank in results[world]]


@pytest.mark.parametrize("name", [name for name in JOBS if name != "compressed" and "mixed" not in name])
def test_two_ranks_step_as_one_does_with_the_same_global_batch(results, name):
    (one,), two = updates(results, 1, name), updates(results, 2, name)
    assert not np.array_equal(one["before"], one["after"])
    np.testing.assert_allclose(two[0]["after"], one["after"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", JOBS)
def test_weights_are_identical_on_all_ranks_after_every_update(results, name):
    first, second = updates(results, 2, name)
    assert (first["rank"], second["rank"]) == (0, 1)
    assert np.array_equal(first["before"], second["before"]), "the broadcast from rank 0"
    assert np.array_equal(first["after"], second["after"])


def test_accumulated_batches_are_one_large_batch(results):
    (plain,), (accumulated,) = updates(results, 1, "plain"), updates(results, 1, "accumulated")
    np.testing.assert_allclose(accumulated["after"], plain["after"], rtol=1e-4, atol=1e-6)
    (plain,), (accumulated,) = updates(results, 1, "four classes"), updates(results, 1, "four classes, accumulated")
    np.testing.assert_allclose(accumulated["after"], plain["after"], rtol=1e-4, atol=1e-6)


def test_clipping_bounds_the_norm_of_the_update(results):
    (clipped,), (plain,) = updates(results, 1, "clipped"), updates(results, 1, "plain")
    change = np.linalg.norm(clipped["after"] - clipped["before"])
    assert change == pytest.approx(0.05 * 0.01, rel=1e-3)  # rate times norm: plain SGD, one update
    assert np.linalg.norm(plain["after"] - plain["before"]) > change


def test_compressed_gradients_are_close_and_not_the_same(results):
    plain, compressed = updates(results, 2, "plain")[0], updates(results, 2, "compressed")[0]
    assert not np.array_equal(plain["after"], compressed["after"])
    change = np.linalg.norm(plain["after"] - plain["before"])
    assert np.linalg.norm(compressed["after"] - plain["after"]) < 0.05 * change


@pytest.mark.parametrize(("name", "plain"), [("mixed", "plain"), ("four classes, mixed", "four classes")])
def test_mixed_precision_computes_in_float16_on_float32_weights(results, name, plain):
    mixed, plain = updates(results, 2, name)[0], updates(results, 2, plain)[0]
    assert mixed["compute"] == "float16"
    assert plain["compute"] == "float32"
    assert mixed["after"].dtype == np.float32
    assert np.all(np.isfinite(mixed["after"]))
    # The first updates may be skipped, until the loss scale fits; the first loss has the same weights in both.
    assert not np.array_equal(mixed["before"], mixed["after"])
    assert mixed["losses"][0] == pytest.approx(plain["losses"][0], rel=0.01)


def test_bfloat16_needs_no_loss_scale(results):
    mixed, plain = updates(results, 2, "mixed bfloat16")[0], updates(results, 2, "plain")[0]
    assert (mixed["compute"], mixed["after"].dtype) == ("bfloat16", np.float32)
    assert mixed["losses"][0] == pytest.approx(plain["losses"][0], rel=0.02)
    change = np.linalg.norm(plain["after"] - plain["before"])
    assert np.linalg.norm(mixed["after"] - plain["after"]) < 0.3 * change


def test_a_compiled_step_comes_to_the_same_weights(results):
    compiled, plain = updates(results, 2, "compiled")[0], updates(results, 2, "plain")[0]
    np.testing.assert_allclose(compiled["after"], plain["after"], rtol=1e-4, atol=1e-6)


def test_measuring_the_exchange_leaves_nothing_behind(results):
    for world in (1, 2):
        measured, plain = updates(results, world, "adam, measured before"), updates(results, world, "adam")
        assert all(np.array_equal(m["after"], p["after"]) for m, p in zip(measured, plain, strict=True))
        assert len({rank["communication_seconds"] for rank in measured}) == 1
        assert measured[0]["communication_seconds"] >= 0


def test_the_parts_of_a_step_follow_each_other_in_time(results):
    for world in (1, 2):
        for rank in updates(results, world, "adam"):
            begin, gradient, reduced, end = rank["times"]
            assert begin < gradient <= reduced < end, "the update takes time, after the reduced gradient is there"


def test_threads_of_gloo_give_way_to_the_model(results):
    assert all(rank["num_idle_threads"] > 0 for rank in updates(results, 2, "plain"))


def test_every_validation_image_is_predicted_once_over_two_ranks(results, dataset):
    assert len(dataset.rows_per_row_group("validation")) % 2 == 1
    predictions = [by_rank[1] for by_rank in results[2]]
    rows = [row for prediction in predictions for row in prediction["rows"]]
    assert sorted(rows) == list(range(19))
    assert len({prediction["steps"] for prediction in predictions}) == 1
    assert np.array_equal(predictions[0]["logits"], predictions[1]["logits"])


def test_f1_of_one_worker_equals_f1_of_two_for_the_same_weights(results, dataset):
    labels = dataset.read_rows("validation", ["label"])["label"].to_numpy()
    one, two = results[1][0][1]["logits"], results[2][0][1]["logits"]
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
    # A model at its first weights calls all images alike; shifted by the median, both classes occur.
    middle = np.median(one[:, 1] - one[:, 0]) + 1e-3
    shifted = [probabilities_of(logits - [0, middle]) for logits in (one, two)]
    scores = [classification_scores(labels, probabilities) for probabilities in shifted]
    assert 0 < scores[0]["weighted_f1"] < 1
    assert scores[0]["weighted_f1"] == scores[1]["weighted_f1"]
    assert scores[0]["confusion_matrix"] == scores[1]["confusion_matrix"]


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ("user error", UserError, "a damaged file"),
        ("exception", RankFailedError, "rank 1 failed(.|\n)*broken on purpose"),
        ("killed", RankFailedError, "the process of rank 1 was killed by SIGKILL"),
    ],
)
def test_when_one_rank_fails_all_end_with_its_error(spark, tmp_path, how, error, words):
    with pytest.raises(error, match=words):
        HorovodOnSpark(2).run(f"{CHECKS}:fail_on_rank_1", how, str(tmp_path))


def test_a_rank_that_waits_for_one_that_failed_is_ended(spark, tmp_path):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(RankFailedError, match=r"rank 1 failed(.|\n)*before the first exchange"):
        HorovodOnSpark(2).run(f"{CHECKS}:fail_before_horovod_starts", None, str(tmp_path))
    assert [path.name for path in tmp_path.glob("failure*")] == ["failure-of-rank-1.json"], "rank 0 was ended"
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "state"), [("stopped", "silent for"), ("looping", "answers: reading a batch, step 2 of epoch 3")]
)
def test_a_rank_that_stands_still_is_named_with_its_step_and_all_stacks_are_kept(spark, tmp_path, how, state):
    with pytest.raises(RankFailedError) as caught:
        HorovodOnSpark(2, stall_seconds=8).run(f"{CHECKS}:stand_still_on_rank_1", how, str(tmp_path))
    message, stacks = str(caught.value), (tmp_path / "stall.txt").read_text()
    assert re.search(r"the ranks stand still for \d+ s; missing: rank 1; the others wait at gradients", message)
    assert re.search(rf"rank 1 \(process \d+ on .*\) {state}", message)
    assert re.search(r"rank 0 \(process \d+ on .*\) answers: step, step 2 of epoch 3", message)
    assert len(message.splitlines()) <= 10
    assert f"Stacks of the ranks: {tmp_path / 'stall.txt'}" in message
    of_rank_0, of_rank_1 = stacks.split("--- rank ")[1:]
    assert "in stand_still_on_rank_1" in of_rank_0
    assert "in synchronize" in of_rank_0 or "in allreduce" in of_rank_0 or "tensorflow" in of_rank_0
    assert ("it does not answer" in of_rank_1) == (how == "stopped")
    assert ("in stand_still_on_rank_1" in of_rank_1) == (how == "looping")


def test_more_workers_than_slots_is_refused_before_anything_starts(spark, tmp_path):
    with pytest.raises(UserError, match="--workers 2 or fewer"):
        HorovodOnSpark(3).run(f"{CHECKS}:all_checks", None, str(tmp_path))
    with pytest.raises(UserError, match="at least 1"):
        HorovodOnSpark(0).check()
