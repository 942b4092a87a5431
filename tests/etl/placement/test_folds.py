"""Datasets of k folds: files of one fold each, for cross-validation."""

import io
import shutil

import numpy as np
import pytest

from etl.options import EtlOptions
from etl.pipeline import run_etl
from hvdcells.data.dataset import Dataset
from hvdcells.storage import parquet
from tests.etl.cells import cell, write_image

pytestmark = pytest.mark.spark


def test_k_fold_files_hold_one_fold_each_and_validate_every_image_once(spark, source, tmp_path):
    location = tmp_path / "dataset"
    options = EtlOptions.of(image_size=16, crop=40, split="k-fold", num_folds=3)
    manifest = run_etl(spark, source, location, options)
    train = manifest.splits["train"]
    assert train.images == 48
    assert manifest.splits["test"].images == 16
    for file in train.files:
        folds = parquet.read_table(f"{location}/{file.path}", ["fold"])["fold"].to_pylist()
        assert set(folds) == {file.fold}
    assert {name: fold.images for name, fold in manifest.folds.items()} == train.images_per_fold
    validated = []
    for fold in range(3):
        view = Dataset.open(location, fold)
        rows = {split: view.read_rows(split, ["group", "subject", "image_id"]) for split in ("train", "validation")}
        assert len(rows["validation"]) == view.split("validation").images == manifest.folds[str(fold)].images
        assert len(view.rows_per_row_group("validation")) >= 8
        for column in ("group", "subject"):
            assert not set(rows["train"][column]) & set(rows["validation"][column])
        # Channel statistics of the training folds, from the stored pixels themselves.
        pixels = [
            np.load(io.BytesIO(image))
            for file in view.split("train").files
            for image in parquet.read_table(f"{location}/{file.path}", ["image"])["image"].to_pylist()
        ]
        assert view.manifest.channel_mean == pytest.approx(np.mean(pixels, axis=(0, 1, 2)))
        assert view.manifest.channel_std == pytest.approx(np.std(np.stack(pixels), axis=(0, 1, 2)))
        validated += rows["validation"]["image_id"].tolist()
    assert sorted(validated) == sorted(Dataset.open(location).read_rows("train", ["image_id"])["image_id"])


def test_an_update_of_a_k_fold_dataset_keeps_folds_apart(spark, source, tmp_path):
    images, location = tmp_path / "images", tmp_path / "dataset"
    shutil.copytree(source, images)
    options = EtlOptions.of(image_size=16, crop=40, split="k-fold", num_folds=2)
    run_etl(spark, images, location, options)
    folder = next(images.glob("**/fold_0/all"))
    write_image(folder / "UID_1_99_1_all.bmp", cell(4711))
    manifest = run_etl(spark, images, location, options, update=True)
    assert manifest.splits["train"].images == 49
    for file in manifest.splits["train"].files:
        assert set(parquet.read_table(f"{location}/{file.path}", ["fold"])["fold"].to_pylist()) == {file.fold}
