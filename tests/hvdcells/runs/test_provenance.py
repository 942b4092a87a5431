"""The commit that a run notes is that of hvdcells, never of a checkout around it."""

import os
import subprocess
import sys
import zipfile
from importlib.metadata import version

import pytest

from hvdcells.runs import provenance


@pytest.fixture
def checkout(tmp_path):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", "first"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    return tmp_path, head


def test_a_checkout_of_hvdcells_tells_its_commit(checkout, monkeypatch):
    folder, head = checkout
    monkeypatch.setattr(provenance, "__file__", str(folder / "hvdcells" / "runs" / "provenance.py"))
    assert provenance.commit() == head


def test_an_environment_inside_another_checkout_tells_none(checkout, monkeypatch):
    installed = checkout[0] / ".venv" / "lib" / "hvdcells" / "runs"
    installed.mkdir(parents=True)
    monkeypatch.setattr(provenance, "__file__", str(installed / "provenance.py"))
    assert provenance.commit() is None


def as_zip(folder):
    with zipfile.ZipFile(folder / "pyspark.zip", "w") as archive:
        archive.writestr("pyspark/__init__.py", "raise AssertionError('it was imported')")
        archive.writestr("pyspark/version.py", '__version__: str = "3.5.6+amzn.2"')
    return folder / "pyspark.zip"


def as_folder(folder):
    (folder / "pyspark").mkdir()
    (folder / "pyspark" / "__init__.py").write_text("raise AssertionError('it was imported')")
    (folder / "pyspark" / "version.py").write_text('__version__: str = "3.5.6+amzn.2"')
    return folder


@pytest.mark.parametrize("brought", [as_zip, as_folder])
def test_the_spark_of_a_cluster_goes_before_the_installed_one(brought, tmp_path):
    """As spark-submit does it, by PYTHONPATH; and nothing of it is imported for its version."""
    code = "from hvdcells.runs.provenance import version_of; print(version_of('pyspark'), version_of('no-such'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(brought(tmp_path))},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "3.5.6+amzn.2 None\n", done.stderr
    assert provenance.version_of("pyspark") == version("pyspark")
