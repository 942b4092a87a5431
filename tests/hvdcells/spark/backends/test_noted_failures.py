"""What the driver tells of ranks that failed, from what they left."""

import errno
import json

import pytest

from hvdcells.errors import ToldToEndError, UserError
from hvdcells.spark.backends.base import (
    STALL_NAME,
    WORKERS_LOG,
    RankFailedError,
    RankLostError,
    forget_failures,
    note_failure,
    raise_noted_failure,
)
from hvdcells.spark.backends.stall import output_of

ENDING = "the process of rank 1 ended with exit code 1"


def test_of_a_rank_that_could_leave_no_word_its_last_line_is_told(tmp_path):
    """As on a full disk, where neither its word nor the log of the workers can be written."""
    output = "[0]<stderr>:of another\n[1]<stderr>:Traceback\n[1]<stderr>:OSError: [Errno 28] No space left on device\n"
    with pytest.raises(RankFailedError) as caught:
        raise_noted_failure(str(tmp_path), ENDING, RuntimeError(), output_of(output, 1))
    assert str(caught.value) == f"{ENDING}. Its last words: OSError: [Errno 28] No space left on device"


def test_without_any_word_only_what_is_known_is_told(tmp_path):
    with pytest.raises(RankFailedError) as caught:
        raise_noted_failure(str(tmp_path), "the Spark job failed: no Python", RuntimeError())
    assert str(caught.value) == "the Spark job failed: no Python"


def test_a_log_is_named_only_where_there_is_one(tmp_path):
    (tmp_path / WORKERS_LOG).write_text("words")
    with pytest.raises(RankFailedError, match=f"What all workers wrote: {tmp_path / WORKERS_LOG}"):
        raise_noted_failure(str(tmp_path), ENDING, RuntimeError())


def test_a_start_forgets_all_that_an_earlier_one_has_left(tmp_path):
    note_failure(str(tmp_path), 1, ValueError("of yesterday"))
    for name in (WORKERS_LOG, STALL_NAME, "of somebody else"):
        (tmp_path / name).write_text("of yesterday")
    forget_failures(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["of somebody else"]


def test_a_users_error_is_told_before_all_else(tmp_path):
    note_failure(str(tmp_path), 0, RuntimeError("HorovodInternalError"))
    note_failure(str(tmp_path), 1, UserError("a", "b", "c"))
    assert json.loads((tmp_path / "failure-of-rank-1.json").read_text())["user_error"] == ["a", "b", "c"]
    with pytest.raises(UserError, match="a\n"):
        raise_noted_failure(str(tmp_path), ENDING, RuntimeError(), "anything")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/run/x.npz"),
            r"/run/x.npz could not be written(.|\n)*free some",
        ),
        (OSError(errno.EROFS, "Read-only file system", "/run/x.npz"), r"/run/x.npz: Read-only file system"),
        (MemoryError(), r"rank 1 on .* was out of memory .* its peak was \d+\.\d GB(.|\n)*lower data.batch_size"),
    ],
)
def test_what_a_user_can_mend_is_told_with_its_remedy_though_nothing_can_be_written(tmp_path, capfd, error, told):
    (tmp_path / "logs").write_text("a file, so that no folder can be made here")
    note_failure(str(tmp_path / "logs"), 1, error)
    said = "".join(f"[1]<stderr>:{line}\n" for line in capfd.readouterr().err.split("\n"))
    (tmp_path / "logs").unlink()
    with pytest.raises(UserError, match=told):
        raise_noted_failure(str(tmp_path / "logs"), ENDING, RuntimeError(), all_output=f"[0]<stderr>:other\n{said}")


def test_a_rank_that_was_told_to_end_is_lost_and_one_that_failed_is_not(tmp_path):
    note_failure(str(tmp_path), 0, ToldToEndError("rank 1 was told to end (SIGTERM)"))
    with pytest.raises(RankLostError, match="rank 1 was told to end"):
        raise_noted_failure(str(tmp_path), ENDING, RuntimeError())
    forget_failures(str(tmp_path))
    note_failure(str(tmp_path), 0, ValueError("of its own"))
    with pytest.raises(RankFailedError, match="of its own") as caught:
        raise_noted_failure(str(tmp_path), ENDING, RuntimeError())
    assert not isinstance(caught.value, RankLostError)
