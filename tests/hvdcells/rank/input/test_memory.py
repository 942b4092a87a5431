"""Memory over many epochs, each case in a process of its own, where no other test holds any."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small_dataset import write_small_dataset

IMAGE_SIZE = 96
GROUPS = {"train": [[32] * 4, [32] * 3 + [11]]}
NUM_EPOCHS = 30
ALLOWED_GROWTH_BYTES = 8 << 20
"""The 24 epochs compared read 155 MB; one batch (0.9 MB) that is lost in each would be 21 MB. Allocators settle
within a few megabytes."""

READ_ALL_EPOCHS = """
import gc, json, sys
import psutil
from hvdcells.data.dataset import Dataset
from hvdcells.rank.input.batches import rank_batches
from hvdcells.data.shard_plan import plan_epoch

location, image_size, num_epochs, cache_bytes = sys.argv[1], *map(int, sys.argv[2:])
dataset = Dataset.open(location)
rows = dataset.rows_per_row_group("train")
plans = [plan_epoch(rows, 1, 32, seed=0, epoch=epoch) for epoch in range(num_epochs)]
rss_bytes = []
with rank_batches(
    dataset, "train", plans, 0,
    input_size=image_size, num_threads=2, shuffle_buffer=128, seed=0, cache_bytes=cache_bytes,
) as batches:
    stream = iter(batches)
    for plan in plans:
        for _ in range(plan.num_steps):
            next(stream)
        gc.collect()
        rss_bytes.append(psutil.Process().memory_info().rss)
json.dump(rss_bytes, sys.stdout)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoding", "cache_bytes"),
    [("raw", 0), ("raw", 1 << 30), ("png", 0)],
    ids=["raw", "raw-in-cache", "png"],
)
def test_thirty_epochs_take_no_more_memory_than_six(tmp_path, encoding, cache_bytes):
    write_small_dataset(tmp_path, GROUPS, image_size=IMAGE_SIZE, encoding=encoding)
    arguments = [str(tmp_path), str(IMAGE_SIZE), str(NUM_EPOCHS), str(cache_bytes)]
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL_EPOCHS, *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rss_bytes = json.loads(done.stdout)
    assert len(rss_bytes) == NUM_EPOCHS
    growth = max(rss_bytes[-3:]) - max(rss_bytes[:6])
    assert growth <= ALLOWED_GROWTH_BYTES, f"grew by {growth / 2**20:.1f} MB: {[r >> 20 for r in rss_bytes]}"
