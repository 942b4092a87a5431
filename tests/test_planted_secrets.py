"""Secrets that are planted in the environment and in errors are found in nothing that is written or shown."""

import pytest

from etl.demo_cells.generator import synthesize
from hvdcells import storage
from hvdcells.errors import UserError
from tests.processes import command

PLANTED = {
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIplanted",
    "AWS_SESSION_TOKEN": "FwoGZXIvYXdzplanted",
    "HUB_TOKEN": "hf_plantedplanted",
    "PLANTED_SIGNATURE": "5ab3c0ffee5ab3c0ffee",
}
SIZES = ["--set", "training.epochs=1", "--set", "data.input_size=24"]


def check(files, shown):
    assert files
    for secret in PLANTED.values():
        assert secret not in shown
        leaking = [str(path) for path in files if secret.encode() in path.read_bytes()]
        assert not leaking, f"{secret} is in {leaking}"


@pytest.mark.spark
@pytest.mark.ranks
@pytest.mark.slow
def test_no_file_and_no_output_of_a_pipeline_holds_a_secret(tmp_path):
    synthesize(tmp_path / "images", num_subjects=8, images_per_subject=4)
    (next((tmp_path / "images").rglob("*.bmp"))).write_bytes(b"BM")
    stages = [
        ("etl", tmp_path / "images", tmp_path / "dataset", "--max-rejects", "0.5"),
        # Two trials: one whose ranks fail with secrets in their mouths, and one that goes well.
        (
            *("sweep", tmp_path / "dataset", tmp_path / "runs", "--workers", "2", *SIZES),
            *("--vary", "model.backbone=tests.hvdcells.rank.models.leaking:model,small_cnn"),
        ),
        ("evaluate", tmp_path / "runs/trial-002"),
    ]
    shown = ""
    for words in stages:
        with command(*words, **PLANTED) as running:
            running.read_to_the_end()
            shown += running.output
    assert "X-Amz-Signature=***" in shown, shown
    assert (tmp_path / "runs/trial-002/report.html").exists(), shown
    assert (tmp_path / "runs/trial-002/evaluation/test.json").exists(), shown
    check([path for folder in ("dataset", "runs") for path in (tmp_path / folder).rglob("*") if path.is_file()], shown)


@pytest.mark.parametrize(
    "address",
    [
        "s3://me:hunter22@bucket/cells",
        "https://host/cells?X-Amz-Credential=AKIA&X-Amz-Signature=hunter22",
        "https://account.blob.core.windows.net/cells?sv=2024&sig=hunter22",
    ],
)
def test_addresses_with_secrets_are_refused_where_they_come_in(address):
    with pytest.raises(UserError) as caught:
        storage.absolute(address)
    assert "hunter22" not in str(caught.value)
    with command("etl", address, "dataset") as running:
        assert running.read_to_the_end() == 2
        assert "hunter22" not in running.output
        assert "AWS_PROFILE" in running.output


def test_names_in_addresses_are_no_secrets():
    for address in ("s3://bucket/cells?versionId=7", "memory://container@account/cells"):
        assert storage.absolute(address) == address
