"""One notion of sameness: two images that are stored as the same pixels are one, whatever they were before."""

import numpy as np
import pytest

from etl.options import EtlOptions
from etl.pipeline import run_etl
from etl.verify import verify
from hvdcells.data.dataset import Dataset
from hvdcells.errors import UserError
from hvdcells.storage import parquet
from tests.etl.cells import cell, rows_of, write_image

pytestmark = pytest.mark.spark

OPTIONS = EtlOptions.of(image_size=16, crop=32, subject_pattern=r"/(s\d+)_", max_rejects=0.2)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Twelve subjects with three cells each, and images that are the same once they are cropped."""
    root = tmp_path_factory.mktemp("sameness")
    for subject in range(12):
        name = "benign" if subject % 2 else "malignant"
        for number in range(3):
            write_image(root / name / f"s{subject}_{number}.png", cell(10 * subject + number))
    # Blank frames of two sizes, of subjects of one class.
    write_image(root / "benign" / "s1_blank.png", np.zeros((40, 40, 3), np.uint8))
    write_image(root / "benign" / "s3_blank.png", np.zeros((56, 56, 3), np.uint8))
    # One cell, cut out with more ground around it.
    padded = np.zeros((64, 64, 3), np.uint8)
    padded[8:56, 8:56] = cell(1000)
    write_image(root / "malignant" / "s2_a.png", cell(1000))
    write_image(root / "malignant" / "s4_b.png", padded)
    return root


@pytest.fixture(scope="module")
def contradictory(source, tmp_path_factory):
    """The same, with a cell that is there under both labels, and a grey frame under both."""
    root = tmp_path_factory.mktemp("contradictory")
    for path in source.rglob("*.png"):
        target = root / path.relative_to(source)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    for name, subject in (("benign", "s5"), ("malignant", "s6")):
        write_image(root / name / f"{subject}_same.png", cell(2000))
    for name, subject, side in (("benign", "s7", 40), ("malignant", "s8", 50)):
        write_image(root / name / f"{subject}_grey.png", np.full((side, side, 3), 90, np.uint8))
    return root


def failing(spark, dataset):
    return {claim.claim: claim.against for claim in verify(spark, Dataset.open(dataset)) if not claim.holds}


@pytest.mark.parametrize("split", ["grouped", "k-fold"])
def test_what_is_the_same_once_stored_is_on_one_side_and_check_agrees(spark, source, tmp_path, split):
    options = OPTIONS.model_copy(update={"split": split, "num_folds": 3})
    manifest = run_etl(spark, source, tmp_path / "dataset", options)
    assert manifest.leakage.identical_pairs == (
        ("benign/s1_blank.png", "benign/s3_blank.png"),
        ("malignant/s2_a.png", "malignant/s4_b.png"),
    )
    assert set(manifest.leakage.groups_of_several_subjects) == {("s1", "s3"), ("s2", "s4")}
    assert failing(spark, tmp_path / "dataset") == {}


def test_equal_pixels_with_unequal_labels_are_rejected_and_named(spark, contradictory, tmp_path):
    manifest = run_etl(spark, contradictory, tmp_path / "dataset", OPTIONS)
    names = ("benign/s5_same.png", "benign/s7_grey.png", "malignant/s6_same.png", "malignant/s8_grey.png")
    assert manifest.rejected == {"the same pixels are labelled benign and malignant": 4}
    assert manifest.leakage.num_label_conflicts == 4
    assert set(manifest.leakage.label_conflicts) == {
        (("benign/s5_same.png", "benign"), ("malignant/s6_same.png", "malignant")),
        (("benign/s7_grey.png", "benign"), ("malignant/s8_grey.png", "malignant")),
    }
    assert any("4 images have the same pixels" in warning for warning in manifest.leakage.warnings)
    assert (manifest.listed, manifest.written, manifest.dropped) == (44, 40, 0)
    assert not set(names) & {row["source"] for _, row in rows_of(tmp_path / "dataset")}
    table = parquet.read_table(f"{tmp_path}/dataset/rejects/rejects.parquet").to_pylist()
    assert [row["source"] for row in table] == sorted(names)
    # A cell under two names says that they may be one person; a frame without a cell does not.
    assert ("s5", "s6") in manifest.leakage.groups_of_several_subjects
    assert not {"s7", "s8"} & {name for group in manifest.leakage.groups_of_several_subjects for name in group}
    assert failing(spark, tmp_path / "dataset") == {}


def test_they_count_as_rejects_and_can_be_kept(spark, contradictory, tmp_path):
    strict = OPTIONS.model_copy(update={"max_rejects": 0.01})
    with pytest.raises(UserError, match=r"4 of 44 images .*4 × the same pixels are labelled benign and malignant"):
        run_etl(spark, contradictory, tmp_path / "strict", strict)
    kept = strict.model_copy(update={"label_conflicts": "keep"})
    manifest = run_etl(spark, contradictory, tmp_path / "kept", kept)
    assert (manifest.written, manifest.rejected, manifest.leakage.num_label_conflicts) == (44, {}, 4)
    found = failing(spark, tmp_path / "kept")
    assert found.keys() == {"no stored image has two labels"}
    assert "benign and as malignant" in found["no stored image has two labels"]
