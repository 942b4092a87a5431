"""Results that are older than what they measured are told from those that are not."""

import json
import subprocess

import pytest

from benchmarks.report.ages import CHECKOUT, MEASURED, Age, ages_of, commits_since


@pytest.fixture
def checkout(tmp_path):
    def git(*words):
        done = subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    git("init", "-q")
    for name in ("measured", "other"):
        (tmp_path / name).write_text("1")
    git("add", ".")
    git("commit", "-qm", "first")
    return tmp_path, git


def test_only_changes_of_what_was_measured_make_a_result_old(checkout):
    folder, git = checkout
    first = git("rev-parse", "HEAD")
    (folder / "other").write_text("2")
    git("commit", "-qam", "another file")
    assert commits_since(first, ["measured"], folder) == 0
    (folder / "measured").write_text("2")
    git("commit", "-qam", "the file")
    assert commits_since(first, ["measured"], folder) == 1
    assert commits_since(first + "+changes", ["measured"], folder) == 1


def test_an_unknown_commit_is_said_to_be_unknown(checkout):
    folder, _ = checkout
    assert commits_since("0" * 40, ["measured"], folder) is None
    assert commits_since(None, ["measured"], folder) is None
    assert "not in this checkout" in Age("etl", "2026", "0" * 40, None).told


def test_results_name_what_they_measured_and_points_count_by_their_oldest(tmp_path):
    (tmp_path / "scaling").mkdir()
    for day in (2, 1):
        noted = {"environment": {"time": f"2026-01-0{day}", "commit": None}}
        (tmp_path / "scaling" / f"{day}.json").write_text(json.dumps(noted))
    (age,) = ages_of(tmp_path)
    assert (age.name, age.time) == ("scaling", "2026-01-01")


def test_what_is_measured_is_there():
    assert [path for paths in MEASURED.values() for path in paths if not (CHECKOUT / path).exists()] == []
