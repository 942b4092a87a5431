"""The commit that a run notes is that of hvdcells, never of a checkout around it."""

import subprocess

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
