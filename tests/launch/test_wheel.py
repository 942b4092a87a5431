"""The wheel of this package: what is in it, and that it is whole without the sources beside it."""

import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from hvdcells.errors import UserError
from launch.clusters import wheel as wheels
from launch.clusters.environment import OWN_PACKAGES
from launch.clusters.wheel import own_wheel
from tests.processes import ROOT

NOT_PYTHON = (
    "hvdcells/py.typed",
    "hvdcells/report/page.css",
    "hvdcells/report/page.html.j2",
    "hvdcells/spark/log4j2.properties",
    "etl/py.typed",
    "launch/py.typed",
    "launch/assets/Dockerfile.sagemaker",
    "launch/assets/bootstrap_emr.sh",
    "launch/assets/iam/emr_launcher.json",
    "launch/assets/instances.json",
    "launch/notebooks/emr.ipynb",
    "launch/notebooks/sagemaker.ipynb",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    name, content = own_wheel()
    file = tmp_path_factory.mktemp("wheel") / name
    file.write_bytes(content)
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder of packages of an environment that holds this wheel and nothing else."""
    place = tmp_path_factory.mktemp("empty") / "environment"
    subprocess.run([getattr(sys, "_base_executable", sys.executable), "-m", "venv", place], check=True)
    install = [place / "bin" / "python", "-I", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*install, "--disable-pip-version-check", wheel], check=True)
    (packages,) = (place / "lib").glob("python*/site-packages")
    return packages


def test_it_holds_the_three_packages_and_all_of_their_files(wheel):
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *OWN_PACKAGES]
    tracked = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    with zipfile.ZipFile(wheel) as opened:
        assert opened.testzip() is None
        members = {name for name in opened.namelist() if not name.endswith("/")}
        scripts = [each for each in opened.infolist() if each.filename.endswith(".sh")]
    assert all(each.external_attr >> 16 & 0o111 for each in scripts)
    dist_info = f"hvdcells-{version('hvdcells')}.dist-info"
    own = {name for name in members if not name.startswith(f"{dist_info}/")}
    assert own == {name for name in tracked if (ROOT / name).is_file()}
    assert set(NOT_PYTHON) <= own


def test_the_same_sources_make_the_same_wheel(wheel):
    assert own_wheel() == (wheel.name, wheel.read_bytes())


@pytest.mark.slow
def test_it_installs_into_an_empty_environment(installed):
    found = {path.name for path in installed.iterdir()}
    assert set(OWN_PACKAGES) < found
    others = {name for name in found - set(OWN_PACKAGES) if not name.startswith(("pip", "setuptools", "_distutils"))}
    assert others - {"pkg_resources", "distutils-precedence.pth"} == {f"hvdcells-{version('hvdcells')}.dist-info"}
    for name in NOT_PYTHON:
        assert (installed / name).is_file()
    assert (installed.parents[2] / "bin" / "hvdcells").is_file()


@pytest.mark.slow
def test_it_works_without_its_sources(installed, tmp_path):
    """Imported with the dependencies of the environment of the tests, and with nothing of the checkout."""
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "import hvdcells, etl.pipeline, launch.cli, hvdcells.report.page, hvdcells.spark.session\n"
        "from launch.clusters.instances import catalogue\n"
        "print(hvdcells.__file__, etl.__file__, launch.__file__)\n"
        "catalogue()\n"
        "sys.argv = ['hvdcells', '--version']\n"
        "launch.cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert all(Path(file).is_relative_to(installed) for file in first.split())
    assert last == f"hvdcells {version('hvdcells')}"


def test_a_checkout_tells_its_commit():
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    done = subprocess.run(
        [sys.executable, "-m", "launch.cli", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"hvdcells {version('hvdcells')} ({commit[:12]})\n"


def test_without_sources_a_wheel_is_asked_for(wheel, monkeypatch, tmp_path):
    monkeypatch.setattr(wheels.hvdcells, "__file__", str(tmp_path / "hvdcells" / "__init__.py"))
    with pytest.raises(UserError, match="without its sources") as caught:
        own_wheel()
    assert "--wheel" in caught.value.remedy
    assert own_wheel(wheel) == (wheel.name, wheel.read_bytes())


def test_without_the_build_back_end_a_wheel_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "hatchling.builders.wheel", None)
    with pytest.raises(UserError, match="hatchling is not installed"):
        own_wheel()


@pytest.mark.parametrize("name", ["other-0.2.0-py3-none-any.whl", "hvdcells-0.2.0.tar.gz", "none"])
def test_what_is_no_wheel_of_this_package_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match="--wheel"):
        own_wheel(tmp_path / name)
    with pytest.raises(UserError, match="--wheel"):
        own_wheel(tmp_path / "hvdcells-0.2.0-py3-none-any.whl")
