"""Between two tasks of a Python process, nothing is done that takes long and is of no use."""

import gc
import importlib
import inspect
import subprocess
import sys
import zipfile
import zipimport

import pytest

from etl.shards.jobs import make_ready

READY = """
import gc, sys
from etl.shards.jobs import make_ready
make_ready()
frozen = gc.get_freeze_count()
make_ready()
print(frozen > 1_000, gc.get_freeze_count() <= frozen)
"""


@pytest.fixture
def module_in_zip(tmp_path, monkeypatch):
    """The zip file on Python's path, and the directories that have been read of it since."""
    path = tmp_path / "modules.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("first_module_in_zip.py", "")
        archive.writestr("second_module_in_zip.py", "")
    monkeypatch.syspath_prepend(path)
    importlib.import_module("first_module_in_zip")
    read, original = [], zipimport._read_directory
    monkeypatch.setattr(zipimport, "_read_directory", lambda archive: read.append(archive) or original(archive))
    yield str(path), read
    for name in ("first_module_in_zip", "second_module_in_zip"):
        sys.modules.pop(name, None)


def test_python_as_it_is_reads_zip_files_anew_and_made_ready_only_when_one_is_imported_from(module_in_zip, monkeypatch):
    path, read = module_in_zip
    importlib.invalidate_caches()
    importlib.import_module("second_module_in_zip")
    assert path in read
    monkeypatch.setattr(sys, "path_importer_cache", dict(sys.path_importer_cache))
    make_ready()
    read.clear()
    importlib.invalidate_caches()
    assert read == []
    del sys.modules["second_module_in_zip"]
    importlib.import_module("second_module_in_zip")


def test_pyspark_as_it_is_has_caches_invalidated_before_each_task_and_garbage_collected_after_it():
    from pyspark import daemon, worker

    assert "importlib.invalidate_caches()" in inspect.getsource(worker.main)
    assert "gc.collect()" in inspect.getsource(daemon.manager)
    assert "gc.freeze()" not in inspect.getsource(daemon) + inspect.getsource(worker)
    assert hasattr(gc, "freeze")


def test_modules_are_frozen_once():
    done = subprocess.run([sys.executable, "-c", READY], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
