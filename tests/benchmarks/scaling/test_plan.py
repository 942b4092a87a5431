"""What a sweep is made of, and what is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scaling.plan import plan, strong_batch
from hvdcells.errors import UserError
from tests.benchmarks.scaling.made import request
from tests.small_dataset import write_small_dataset


def test_weak_scaling_holds_the_batch_of_a_rank_and_strong_scaling_that_of_all():
    points = plan(request(workers=(1, 2, 4), modes=("weak", "strong")), None)
    batches = {(p.mode, p.world_size): p.experiment.data.batch_size for p in points}
    assert [batches["weak", size] for size in (1, 2, 4)] == [8, 8, 8]
    assert [batches["strong", size] * size for size in (1, 2, 4)] == [8, 8, 8]
    assert len({p.file_name for p in points}) == 6


@given(st.lists(st.integers(1, 12), min_size=1, max_size=4, unique=True))
def test_the_global_batch_that_is_chosen_is_divided_by_all_workers_and_no_smaller_than_a_ranks(workers):
    found = strong_batch(request(workers=tuple(workers)))
    assert all(found % size == 0 for size in workers)
    assert 8 <= found < 8 + math.lcm(*workers)


def test_all_that_is_impossible_is_said_at_once(tmp_path):
    dataset = write_small_dataset(tmp_path, {"train": [[8, 8]], "validation": [[8]]})
    asked = request(
        workers=(1, 3, 4), modes=("weak", "strong"), inputs=("dataset",), master="local[2]", global_batch=32
    )
    with pytest.raises(UserError) as caught:
        plan(asked, dataset)
    said = str(caught.value)
    assert "3, 4 workers on the Spark master 'local[2]', which runs 2 tasks at once" in said
    assert "a global batch of 32 for 3 workers" in said
    assert "--global-batch 36" in said
    assert "4 workers for a split of 2 row groups" in said


def test_ranks_on_this_machine_have_the_same_threads_for_every_number_of_workers(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    threads = {p.experiment.communication.intra_op_threads for p in plan(request(workers=(1, 2, 4)), None)}
    assert threads == {2}
    assert plan(request(master="spark://host:7077"), None)[0].experiment.communication.intra_op_threads is None


def test_settings_tell_no_secret():
    conf = {"spark.hadoop.fs.s3a.secret.key": "do-not-tell", "spark.executor.memory": "2g"}
    settings = plan(request(master="spark://me:do-not-tell@host:7077", conf=conf), None)[0].settings()
    assert "do-not-tell" not in str(settings)
    assert settings["spark"]["spark.executor.memory"] == "2g"
