"""The bootstrap script of EMR's nodes, run here with a made-up `aws` that copies from a folder."""

import hashlib
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from launch.clusters.wheel import own_wheel

ASSETS = Path(__file__).parents[3] / "launch" / "assets"
FAKES = {
    "python3.11": f'exec "{sys.executable}" "$@"',
    "sudo": 'exec "$@"',
    # aws s3 sync OPTIONS s3://cells/env FOLDER: of the patterns only that wheels and the sums come is acted out.
    "aws": '[[ "${*: -2:1}" == s3://cells/env ]] || exit 1\n'
    'cp "$STORE"/*.whl "$STORE"/SHA256SUMS "${*: -1}" 2>/dev/null || true',
    "mountpoint": "exit 1",
    "mount": 'echo "$@" >"$STORE/mounted"',
}


class Node:
    """A machine of EMR in a folder, with a wheelhouse as the bucket holds it."""

    def __init__(self, folder: Path) -> None:
        self.store, self.prefix, self.tmp = folder / "store", folder / "opt" / "hvdcells", folder / "tmp"
        self.commands = folder / "bin"
        self.spark = folder / "usr" / "lib" / "spark"
        for each in (self.store, self.commands, self.tmp):
            each.mkdir(parents=True)
        for name, body in FAKES.items():
            (self.commands / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
            (self.commands / name).chmod(0o755)
        name, content = own_wheel()
        self.wheel = self.store / name
        self.wheel.write_bytes(content)
        self.digest = self.sum_up()

    def sum_up(self) -> str:
        """Write SHA256SUMS over all wheels, as the build does, and return its own digest."""
        lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in self.store.glob("*.whl")]
        (self.store / "SHA256SUMS").write_text("".join(sorted(lines)))
        return hashlib.sha256((self.store / "SHA256SUMS").read_bytes()).hexdigest()

    def bootstrap(self, *more: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["bash", ASSETS / "bootstrap_emr.sh", "s3://cells/env", self.digest, *more],
            env={
                **os.environ,
                "PATH": f"{self.commands}{os.pathsep}{os.environ['PATH']}",
                "STORE": str(self.store),
                "TMPDIR": str(self.tmp),
                "HVDCELLS_PREFIX": str(self.prefix),
                "HVDCELLS_SPARK": str(self.spark),
                "HVDCELLS_CGROUP": str(self.store.parent / "cgroup"),
            },
            capture_output=True,
            text=True,
            timeout=300,
        )


@pytest.fixture
def node(tmp_path) -> Node:
    return Node(tmp_path)


@pytest.mark.slow
def test_a_node_gets_the_environment(node):
    """Twice, as after a reboot; with what YARN isolates GPUs with."""
    done = node.bootstrap()
    assert done.returncode == 0, done.stderr
    assert not (node.store / "mounted").exists()
    done = node.bootstrap("--gpu")
    assert done.returncode == 0, done.stderr
    assert (node.store / "mounted").read_text().split()[:4] == ["-t", "cgroup", "-o", "devices"]
    for name in ("discover_gpus.sh", "submit.py"):
        assert (node.prefix / name).read_bytes() == (ASSETS / name).read_bytes()
    assert os.access(node.prefix / "discover_gpus.sh", os.X_OK)
    assert os.access(node.prefix / "bin" / "hvdcells", os.X_OK)
    found = subprocess.run(
        [node.prefix / "bin" / "python", "-I", "-c", "import launch; print(launch.__file__)"],
        capture_output=True,
        text=True,
    )
    assert found.stdout.startswith(str(node.prefix)), found.stderr
    assert not list(node.tmp.iterdir())
    spark_comes_after_the_bootstrap(node)


def spark_comes_after_the_bootstrap(node):
    """EMR installs Spark after the bootstrap: from then on the environment has the cluster's own Python of Spark."""
    which = [node.prefix / "bin" / "python", "-I", "-c", "import pyspark, py4j; print(pyspark.__version__)"]
    assert "No module named 'pyspark'" in subprocess.run(which, capture_output=True, text=True).stderr
    (node.spark / "python" / "pyspark").mkdir(parents=True)
    (node.spark / "python" / "pyspark" / "__init__.py").write_text("__version__ = '3.5.6-amzn-2'")
    (node.spark / "python" / "lib").mkdir()
    with zipfile.ZipFile(node.spark / "python" / "lib" / "py4j-0.10.9.7-src.zip", "w") as library:
        library.writestr("py4j/__init__.py", "")
    found = subprocess.run(which, capture_output=True, text=True)
    assert found.stdout == "3.5.6-amzn-2\n", found.stderr


def tampered(node: Node) -> None:
    with node.wheel.open("ab") as wheel:
        wheel.write(b"!")


def extra(node: Node) -> None:
    with zipfile.ZipFile(node.store / "evil-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("evil.py", "")


def missing(node: Node) -> None:
    node.wheel.unlink()


def other_sums(node: Node) -> None:
    extra(node)
    node.sum_up()


def no_sums(node: Node) -> None:
    (node.store / "SHA256SUMS").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (tampered, "not those that were built"),
        (missing, "not those that were built"),
        (extra, "evil-1.0-py3-none-any.whl at s3://cells/env was not built with the others"),
        (other_sums, "not the one this cluster was launched with"),
        (no_sums, "--build-environment"),
    ],
)
def test_nothing_is_installed_that_was_not_built(node, spoil, words):
    spoil(node)
    done = node.bootstrap()
    assert done.returncode == 1
    assert words in done.stderr
    assert not node.prefix.exists()
    assert not list(node.tmp.iterdir())


def test_the_own_wheel_is_the_same_each_time_and_brings_what_is_not_python():
    name, content = own_wheel()
    assert own_wheel() == (name, content)
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        members = set(wheel.namelist())
        assert wheel.testzip() is None
    expected = {
        "launch/assets/bootstrap_emr.sh",
        "launch/assets/iam/emr_launcher.json",
        "launch/assets/instances.json",
        "launch/notebooks/emr.ipynb",
        "hvdcells/spark/log4j2.properties",
    }
    assert expected <= members
    assert not any("__pycache__" in member for member in members)
