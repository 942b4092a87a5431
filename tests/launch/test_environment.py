"""The environment as an archive: executors and ranks run from it, on a standalone cluster through spark-submit."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import hvdcells
from etl.demo_cells.generator import synthesize
from hvdcells.errors import UserError
from launch.clusters.environment import (
    environment_files,
    environment_settings,
    fingerprint,
    fingerprint_of,
    write_archive,
)
from tests.processes import ROOT
from tests.standalone import WorkerHost, standalone_cluster

MARKER = "where_a_rank_runs"
LARGE_BYTES = 256 << 10

MODEL = """\
import sys
from pathlib import Path
import hvdcells, tf_keras

def model(input_size):
    Path({seen!r}).joinpath(str(hash(Path.cwd()))).write_text("\\n".join([sys.prefix, hvdcells.__file__, __file__]))
    layers = tf_keras.layers
    image = layers.Input((input_size, input_size, 3))
    return tf_keras.Sequential([image, layers.GlobalAveragePooling2D(), layers.Dense(1)])
"""


@pytest.fixture(scope="module")
def files():
    return environment_files()


def test_it_holds_what_training_needs_and_not_what_tests_need(files):
    site = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    for name in ("tensorflow", "horovod", "petastorm", "hvdcells", "etl", "launch"):
        assert f"{site}/{name}/__init__.py" in files
    assert f"{site}/launch/assets/instances.json" in files
    assert not [name for name in files if name.startswith((f"{site}/moto", f"{site}/pytest", f"{site}/pyspark/jars"))]
    assert all(path.is_file() for path in files.values())


def test_an_archive_tells_what_it_holds(files, tmp_path):
    some = {name: path for name, path in files.items() if "/hvdcells/" in name}
    for name in ("a.tar.gz", "a.tgz"):
        write_archive(some, str(tmp_path / name))
        assert fingerprint_of(str(tmp_path / name)) == fingerprint(some)
    assert fingerprint(dict(list(some.items())[1:])) != fingerprint(some)
    (tmp_path / "no.tgz").write_text("none")
    assert fingerprint_of(str(tmp_path / "no.tgz")) is None
    assert fingerprint_of(str(tmp_path / "nothing.tgz")) is None
    with tarfile.open(tmp_path / "a.tgz") as archive:
        assert not [member for member in archive if member.uname]


def test_what_cannot_be_packed_is_refused(tmp_path):
    with pytest.raises(UserError, match="ends in"):
        write_archive({}, str(tmp_path / "a.tar"))
    with pytest.raises(UserError, match="no_such_module"):
        environment_files(["no_such_module"])


@pytest.mark.spark
@pytest.mark.ranks
@pytest.mark.slow
def test_ranks_on_a_standalone_cluster_run_from_the_archive(tmp_path, monkeypatch):
    """The archive is whole but for its largest files, which are links to those here: it would be 2.4 GB."""
    seen = tmp_path / "seen"
    seen.mkdir()
    (tmp_path / f"{MARKER}.py").write_text(MODEL.format(seen=str(seen)))
    monkeypatch.syspath_prepend(tmp_path)
    files = environment_files([MARKER])
    for number, (name, path) in enumerate(files.items()):
        if path.stat().st_size > LARGE_BYTES and "python" not in path.name:
            files[name] = tmp_path / f"large-{number}"
            files[name].symlink_to(path)
    archive = str(tmp_path / "environment.tar.gz")
    write_archive(files, archive)
    synthesize(tmp_path / "images", num_subjects=8, images_per_subject=4)
    # Nodes have neither our code nor our paths; the driver has our code, and not the archive's.
    bare = WorkerHost(cores=2, memory="2g", environment={"PYTHONPATH": "", "PATH": "/usr/bin:/bin"})
    command = ["launch", "cluster", "--source", tmp_path / "images", "--dataset", tmp_path / "dataset"]
    command += ["--run", tmp_path / "run", "--instance", "here", "--vcpus", "2", "--memory-gib", "8", "--threads", "1"]
    command += ["--machines", "1", "--workers", "1", "--executor-memory-gib", "2"]
    command += ["--set", f"model.backbone={MARKER}:model", "--set", "training.epochs=1", "--set", "data.input_size=32"]
    with standalone_cluster(tmp_path / "cluster", [bare]) as master:
        settings = {**environment_settings(archive), "spark.executor.memory": "1g"}
        conf = [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]
        done = subprocess.run(
            [sys.executable, "-m", "launch.cli", *map(str, command), "--master", master, *conf],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "run/evaluation/test.json").is_file()
    places = [path.read_text().split("\n") for path in seen.iterdir()]
    in_archive = [place for place in places if "/cluster/worker-0/app-" in place[0]]
    assert in_archive, f"no rank ran from the archive: {places}"
    for prefix, package, model in in_archive:
        assert prefix.endswith("/environment")
        assert Path(package).is_relative_to(prefix)
        assert Path(model).is_relative_to(prefix)
    assert not Path(hvdcells.__file__).is_relative_to(in_archive[0][0])
