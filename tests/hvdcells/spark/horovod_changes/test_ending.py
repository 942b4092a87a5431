import pytest

from hvdcells.spark.horovod_changes.ending import Ending


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (Ending(), "the Spark job failed"),
        (Ending(rank=1), "the task of rank 1 was lost"),
        (Ending(rank=1, exit_code=1), "the process of rank 1 ended with exit code 1"),
        (Ending(rank=0, exit_code=255), "the process of rank 0 ended with exit code 255"),
        (Ending(rank=2, exit_code=134), "the process of rank 2 was killed by SIGABRT"),
        (Ending(rank=2, exit_code=137), "the process of rank 2 was killed by SIGKILL (out of memory?)"),
    ],
)
def test_how_a_process_ended_is_told(ending, words):
    assert ending.describe() == words
