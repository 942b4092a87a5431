"""What only pixels tell, after the files were written: the same dataset comes out by whatever way."""

import io
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from etl import pipeline
from etl.images import normalise
from etl.leakage import find
from etl.options import EtlOptions
from etl.pipeline import run_etl
from etl.verify import verify
from hvdcells.data.dataset import Dataset
from tests.etl.cells import RecordingListener, cell, rows_of, write_image

pytestmark = pytest.mark.spark

SMALL = EtlOptions.of(image_size=16, crop=40)


def test_where_pixels_tell_nothing_new_every_file_is_written_once(spark, source, tmp_path, monkeypatch):
    listener = RecordingListener()
    run_etl(spark, source, tmp_path / "dataset", SMALL, listener=listener)
    assert listener.stages == [("decoding", 64)]


def test_files_of_k_fold_hold_one_fold_each(spark, source, tmp_path):
    root = tmp_path / "source"
    shutil.copytree(source, root)
    (root / "training_data" / "fold_0" / "all" / "UID_1_90_1_all.bmp").write_bytes(b"")  # a row group will lack it
    options = SMALL.model_copy(update={"split": "k-fold", "num_folds": 3, "row_group_rows": 4, "max_rejects": 0.1})
    manifest = run_etl(spark, root, tmp_path / "dataset", options)
    for name, split in manifest.splits.items():
        for file in split.files:
            assert file.fold in ({0, 1, 2} if name == "train" else {-1})
            parquet = pq.ParquetFile(tmp_path / "dataset" / file.path)
            assert {row["fold"] for row in parquet.read(columns=["fold"]).to_pylist()} == {file.fold}
            sizes = tuple(parquet.metadata.row_group(index).num_rows for index in range(parquet.num_row_groups))
            assert sizes == file.rows_per_row_group
    assert sum(split.images for split in manifest.splits.values()) == 64
    assert manifest.splits["train"].images_per_fold.keys() == {"0", "1", "2"}
    assert [finding for finding in verify(spark, Dataset.open(tmp_path / "dataset")) if not finding.holds] == []


@pytest.mark.parametrize("split", ["official", "grouped", "k-fold"])
def test_what_pixels_tell_gives_the_same_dataset_by_whatever_way(spark, source, tmp_path, monkeypatch, split):
    """Copies join subjects after the files were written; a run that was interrupted before that ends the same."""
    root = tmp_path / "source"
    shutil.copytree(source, root)
    for number, (fold, subject) in enumerate((("fold_0", "1"), ("fold_2", "5"))):
        image = next((root / "training_data" / fold / "all").glob(f"UID_{subject}_*.bmp"))
        shutil.copy(image, root / "training_data" / "fold_1" / "all" / f"UID_{90 + number}_1_1_all.bmp")
    (root / "training_data" / "fold_1" / "hem" / "UID_H3_90_1_hem.bmp").write_bytes(b"no image")
    options = SMALL.model_copy(update={"split": split, "num_folds": 3, "max_rejects": 0.1})
    listener = RecordingListener()
    at_once = run_etl(spark, root, tmp_path / "at-once", options, listener=listener)
    assert [name for name, _ in listener.stages] == ["decoding", "sorting"]
    assert at_once.leakage.groups_of_several_subjects == (("1", "90"), ("5", "91"))
    assert at_once.leakage.num_identical_pairs == 2
    assert (at_once.written, at_once.dropped) == ((65, 1) if split == "official" else (66, 0))
    assert [finding for finding in verify(spark, Dataset.open(tmp_path / "at-once")) if not finding.holds] == []
    rows = {row["source"]: (side, row) for side, row in rows_of(tmp_path / "at-once")}
    assert {row["group"] for _, row in rows.values() if row["subject"] in ("1", "90")} == {"1"}
    for source_path, (_, row) in rows.items():
        pixels = normalise.process((root / source_path).read_bytes(), 16, 40)
        np.testing.assert_array_equal(np.load(io.BytesIO(row["image"])), pixels.square[..., ::-1])

    monkeypatch.setattr(find, "BUCKET_IMAGES", 10)  # as if there were too many for one task

    def broken(*_args, **_kwargs):
        raise RuntimeError("the power went")

    for function in ("find_duplicates", "rewrite_all", "write_overview"):
        with monkeypatch.context() as patch:
            patch.setattr(pipeline, function, broken)
            with pytest.raises(RuntimeError, match="the power went"):
                run_etl(spark, root, tmp_path / "resumed", options)
    run_etl(spark, root, tmp_path / "resumed", options)
    one, other = (
        {str(path.relative_to(made)): path.read_bytes() for path in made.rglob("images/**/*.parquet")}
        for made in (tmp_path / "at-once", tmp_path / "resumed")
    )
    assert one == other
    assert (tmp_path / "at-once" / "manifest.json").read_text() == (tmp_path / "resumed" / "manifest.json").read_text()


def test_without_subjects_every_image_is_its_own_but_for_its_copies(spark, tmp_path):
    for label in ("healthy", "cancer"):
        for number in range(12):
            write_image(tmp_path / "source" / label / f"{number}.png", cell(100 * (label == "cancer") + number))
    shutil.copy(tmp_path / "source" / "cancer" / "0.png", tmp_path / "source" / "cancer" / "copy.png")
    write_image(tmp_path / "source" / "cancer" / "5.bmp", cell(500))  # the same name but for its ending
    manifest = run_etl(spark, tmp_path / "source", tmp_path / "dataset", EtlOptions.of(image_size=16))
    assert (manifest.written, manifest.leakage.num_groups, manifest.leakage.num_identical_pairs) == (26, 25, 1)
    rows = rows_of(tmp_path / "dataset")
    assert len({row["image_id"] for _, row in rows}) == 26
    assert {"cancer/5.bmp", "cancer/5.png", "cancer/0", "cancer/copy"} < {row["subject"] for _, row in rows}
    (side,) = {(side, row["group"]) for side, row in rows if row["source"] in ("cancer/0.png", "cancer/copy.png")}
    assert side[1] == "cancer/0"
    assert [finding for finding in verify(spark, Dataset.open(tmp_path / "dataset")) if not finding.holds] == []
