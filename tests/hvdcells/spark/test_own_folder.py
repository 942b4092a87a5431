"""What a killed driver's Spark has left is cleared at the next start; what others have is not."""

import json
import os
import subprocess
import sys
import tempfile

import psutil
import pytest

from hvdcells.spark import own_folder
from hvdcells.spark.own_folder import OWNER_NAME, PREFIX, clear_abandoned


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def folder_of(place, name, pid, began):
    folder = place / f"{PREFIX}{name}"
    (folder / "blockmgr-1").mkdir(parents=True)
    (folder / OWNER_NAME).write_text(json.dumps({"pid": pid, "began": began}))
    return folder


def test_only_folders_whose_process_is_gone_are_removed(temporary):
    began = psutil.Process().create_time()
    mine = folder_of(temporary, "mine", os.getpid(), began)
    reused = folder_of(temporary, "pid given to another", os.getpid(), began - 100)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    dead = folder_of(temporary, "dead", ended.pid, began)
    unnamed = temporary / f"{PREFIX}unnamed"
    unnamed.mkdir()
    others = temporary / "spark-0b6f2a"
    others.mkdir()
    assert sorted(clear_abandoned()) == sorted([dead, reused])
    assert sorted(temporary.iterdir()) == sorted([mine, unnamed, others])


def test_a_link_is_not_followed(temporary, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    target = folder_of(elsewhere, "dead", 2**22 + 1, 0.0)
    (temporary / f"{PREFIX}link").symlink_to(target)
    assert clear_abandoned() == []
    assert (target / "blockmgr-1").is_dir()


def test_a_process_has_one_folder_and_takes_it_with_it(temporary):
    code = "from hvdcells.spark.own_folder import own_folder as f; print(f()); assert f() == f() and f().is_dir()"
    environment = {**os.environ, "TMPDIR": str(temporary)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert own_folder.PREFIX in done.stdout
    assert list(temporary.iterdir()) == []
