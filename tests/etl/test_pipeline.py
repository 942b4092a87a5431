import io
import json
import os
import shutil
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest

from etl import pipeline
from etl.options import EtlOptions
from etl.pipeline import run_etl
from etl.shards.findings import SHARDS_FOLDER
from etl.verify import verify
from hvdcells.data.dataset import Dataset
from hvdcells.data.manifest import IMAGES_FOLDER
from hvdcells.errors import UserError
from hvdcells.storage import parquet
from tests.etl.cells import SAMPLE, RecordingListener, cell, needs_sample, rows_of, write_image

pytestmark = pytest.mark.spark

SMALL = EtlOptions.of(image_size=16, crop=40)


@pytest.fixture(scope="module")
def made(spark, source, tmp_path_factory):
    location = tmp_path_factory.mktemp("made") / "dataset"
    run_etl(spark, source, location, SMALL)
    return location


def test_a_dataset_holds_every_image_of_its_source_once(source, made):
    manifest = Dataset.open(made).manifest
    assert (manifest.listed, manifest.written, manifest.rejected, manifest.dropped) == (64, 64, {}, 0)
    assert {name: split.images for name, split in manifest.splits.items()} == {
        "train": 32,
        "validation": 16,
        "test": 16,
    }
    assert manifest.splits["train"].images_per_class == {"hem": 16, "all": 16}
    assert manifest.splits["train"].images_per_fold == {"0": 16, "1": 16}
    assert manifest.splits["validation"].class_per_subject == {"5": "all", "6": "all", "H5": "hem", "H6": "hem"}
    assert not manifest.synthetic
    rows = rows_of(made)
    assert len({row["image_id"] for _, row in rows}) == len({row["source"] for _, row in rows}) == 64
    assert all(row["label"] == (row["class_name"] == "all") for _, row in rows)
    assert not (made / "_work").exists()
    assert not list((made / "_shards").glob("*.arrow"))
    assert (made / "overview.png").read_bytes()[:4] == b"\x89PNG"


def test_row_groups_are_those_of_the_manifest_and_small_splits_have_several(made):
    for split in Dataset.open(made).manifest.splits.values():
        assert sum(len(file.rows_per_row_group) for file in split.files) >= 8
        for file in split.files:
            metadata = pq.read_metadata(made / file.path)
            found = tuple(metadata.row_group(index).num_rows for index in range(metadata.num_row_groups))
            assert found == file.rows_per_row_group


def test_rows_are_mixed(made):
    train = [row["class_name"] for split, row in rows_of(made) if split == "train"]
    changes = sum(one != other for one, other in pairwise(train))
    assert changes > 8  # sorted by folder there would be one


def test_pixels_and_statistics_are_those_of_the_source(source, made):
    import cv2

    manifest = Dataset.open(made).manifest
    train = []
    for split, row in rows_of(made):
        image = np.load(io.BytesIO(row["image"]))
        pixels = cv2.imread(str(source / row["source"]))[..., ::-1]
        wanted = cv2.resize(np.ascontiguousarray(pixels[4:44, 4:44]), (16, 16), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(image, wanted)
        if split == "train":
            train.append(image)
    np.testing.assert_allclose(manifest.channel_mean, np.mean(train, axis=(0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(manifest.channel_std, np.std(train, axis=(0, 1, 2)), rtol=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_petastorm_reads_it_row_by_row_and_in_batches(made):
    from petastorm import make_batch_reader, make_reader

    url = f"file://{made}/{IMAGES_FOLDER}"
    with make_reader(url, reader_pool_type="dummy", num_epochs=1, shuffle_row_groups=False) as reader:
        rows = list(reader)
    assert len({row.image_id for row in rows}) == 64
    assert {row.split for row in rows} == {"train", "validation", "test"}
    assert rows[0].image.shape == (16, 16, 3)
    assert rows[0].image.dtype == np.uint8
    with make_batch_reader(url, reader_pool_type="dummy", num_epochs=1) as reader:
        assert sum(len(batch.label) for batch in reader) == 64


def test_two_runs_write_the_same_bytes(spark, source, made, tmp_path):
    again = tmp_path / "again"
    run_etl(spark, source, again, SMALL)
    one, other = (
        {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.parquet")} for root in (made, again)
    )
    assert one == other
    assert (made / "manifest.json").read_text() == (again / "manifest.json").read_text()


def test_another_seed_gives_another_order(spark, source, made, tmp_path):
    run_etl(spark, source, tmp_path / "other", SMALL.model_copy(update={"seed": 1}))
    one, other = ([row["source"] for _, row in rows_of(root)] for root in (made, tmp_path / "other"))
    assert sorted(one) == sorted(other)
    assert one != other


def test_a_second_run_does_nothing_and_says_so(spark, source, made):
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    listener = RecordingListener()
    manifest = run_etl(spark, source, made, SMALL, listener=listener)
    assert manifest == Dataset.open(made).manifest
    assert any("nothing to do" in text for text in listener.said)
    assert listener.stages == []
    assert before == {path: path.stat().st_mtime_ns for path in made.rglob("*")}


def test_unusable_images_are_counted_and_cost_nothing_else(spark, source, tmp_path):
    root = tmp_path / "source"
    shutil.copytree(source, root)
    folder = root / "training_data" / "fold_0" / "all"
    whole = next(folder.glob("*.bmp")).read_bytes()
    (folder / "UID_1_90_1_all.bmp").write_bytes(whole[:3000])
    (folder / "UID_1_91_1_all.bmp").write_bytes(b"")
    (folder / "UID_1_92_1_all.bmp").write_text("this is a text file")
    (folder / "UID_1_93_1_hem.bmp").write_bytes(whole)
    (folder / "picture.bmp").write_bytes(whole)
    (root / "notes.txt").write_text("not an image")
    with pytest.raises(UserError, match=r"5 of 69 images \(7.2%\) cannot be used"):
        run_etl(spark, root, tmp_path / "dataset", SMALL)
    with pytest.raises(UserError, match="no finished dataset"):
        Dataset.open(tmp_path / "dataset")
    allowed = SMALL.model_copy(update={"max_rejects": 0.1})
    manifest = run_etl(spark, root, tmp_path / "dataset", allowed)
    assert (manifest.listed, manifest.written, sum(manifest.rejected.values())) == (69, 64, 5)
    table = parquet.read_table(f"{tmp_path}/dataset/rejects/rejects.parquet").to_pylist()
    reasons = {row["source"].rsplit("/", 1)[-1]: row["reason"] for row in table}
    assert reasons["UID_1_90_1_all.bmp"].startswith("truncated BMP")
    assert reasons["UID_1_91_1_all.bmp"] == "empty file"
    assert (
        reasons["UID_1_92_1_all.bmp"] == "not an image that is read here (BMP, PNG, JPEG, TIFF, WebP, JPEG 2000, PNM)"
    )
    assert "lies in the folder all" in reasons["UID_1_93_1_hem.bmp"]
    assert "file name is not" in reasons["picture.bmp"]
    Dataset.open(tmp_path / "dataset")


def test_leaks_are_dropped_from_training_and_named(spark, source, tmp_path):
    root = tmp_path / "source"
    shutil.copytree(source, root)
    image = next((root / "training_data" / "fold_0" / "all").glob("*.bmp"))
    shutil.copy(image, root / "training_data" / "fold_2" / "all" / "UID_90_1_1_all.bmp")
    manifest = run_etl(spark, root, tmp_path / "dataset", SMALL)
    assert (manifest.listed, manifest.written, manifest.dropped) == (65, 64, 1)
    relative = str(image.relative_to(root))
    assert manifest.leakage.dropped == {relative: "the same pixels are also in validation"}
    assert manifest.leakage.identical_pairs == ((relative, "training_data/fold_2/all/UID_90_1_1_all.bmp"),)
    assert manifest.leakage.across_splits == manifest.leakage.identical_pairs
    subject = image.name.split("_")[1]
    assert manifest.leakage.groups_of_several_subjects == ((subject, "90"),)
    assert any("may be one person" in warning for warning in manifest.leakage.warnings)


def test_an_update_decodes_only_what_is_new(spark, source, tmp_path, monkeypatch):
    root, dataset = tmp_path / "source", tmp_path / "dataset"
    shutil.copytree(source, root)
    run_etl(spark, root, dataset, SMALL)
    before = {row["source"]: (split, row["image"]) for split, row in rows_of(dataset)}
    new = "training_data/fold_1/hem/UID_H77_1_1_hem.bmp"
    write_image(root / new, cell(1000))
    gone = next((root / "training_data" / "fold_0" / "hem").glob("*.bmp"))
    gone.unlink()
    with pytest.raises(UserError, match="its source has changed"):
        run_etl(spark, root, dataset, SMALL)
    Dataset.open(dataset)  # the refusal left it whole
    # Were an old image decoded again, its source would be missed.
    hidden = [path for path in root.rglob("*.bmp") if str(path.relative_to(root)) != new]
    contents = {path: (path.read_bytes(), path.stat()) for path in hidden}

    for path, (content, status) in contents.items():
        path.write_bytes(b"x" * len(content))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    manifest = run_etl(spark, root, dataset, SMALL, update=True)
    after = {row["source"]: (split, row["image"]) for split, row in rows_of(dataset)}
    assert set(after) == set(before) - {str(gone.relative_to(root))} | {new}
    assert all(after[path] == before[path] for path in set(after) & set(before))
    assert after[new][0] == "train"
    assert (manifest.listed, manifest.written) == (64, 64)
    parquet = {str(path.relative_to(dataset)) for path in (dataset / IMAGES_FOLDER).rglob("*.parquet")}
    assert parquet == {file.path for split in manifest.splits.values() for file in split.files}


def test_a_refused_update_leaves_the_dataset_as_it_was(spark, source, tmp_path):
    root, dataset = tmp_path / "source", tmp_path / "dataset"
    shutil.copytree(source, root)
    before = run_etl(spark, root, dataset, SMALL)
    files_before = sorted(dataset.rglob("images/**/*"))
    (root / "training_data" / "fold_0" / "all" / "UID_1_90_1_all.bmp").write_bytes(b"")
    write_image(root / "training_data" / "fold_0" / "all" / "UID_1_91_1_all.bmp", cell(1000))
    with pytest.raises(UserError, match="1 of 66 images"):
        run_etl(spark, root, dataset, SMALL, update=True)
    assert Dataset.open(dataset).manifest == before
    assert sorted(dataset.rglob("images/**/*")) == files_before
    assert len(rows_of(dataset)) == 64


def test_other_options_or_a_foreign_folder_are_refused(spark, source, made, tmp_path):
    with pytest.raises(UserError, match=r"made with .*image_size=16 \(asked for: 32\)"):
        run_etl(spark, source, made, SMALL.model_copy(update={"image_size": 32}))
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds precious\.txt"):
        run_etl(spark, source, tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_a_source_without_training_images_is_refused(spark, source, tmp_path):
    shutil.copytree(source / "training_data" / "fold_2", tmp_path / "source" / "fold_2")
    with pytest.raises(UserError, match="the training split is empty"):
        run_etl(spark, tmp_path / "source", tmp_path / "dataset", SMALL)
    with pytest.raises(UserError, match="no finished dataset"):
        Dataset.open(tmp_path / "dataset")


def test_an_update_decodes_again_an_image_that_was_dropped_and_is_wanted(spark, source, tmp_path):
    root, dataset = tmp_path / "source", tmp_path / "dataset"
    shutil.copytree(source, root)
    image = next((root / "training_data" / "fold_0" / "all").glob("*.bmp"))
    copy = root / "training_data" / "fold_2" / "all" / "UID_90_1_1_all.bmp"
    shutil.copy(image, copy)
    assert run_etl(spark, root, dataset, SMALL).dropped == 1
    copy.unlink()
    manifest = run_etl(spark, root, dataset, SMALL, update=True)
    assert (manifest.dropped, manifest.written) == (0, 64)
    assert str(image.relative_to(root)) in {row["source"] for _, row in rows_of(dataset)}


def test_a_run_that_failed_goes_on_from_its_finished_shards(spark, source, tmp_path, monkeypatch):
    dataset = tmp_path / "dataset"

    def broken(*_args, **_kwargs):
        raise RuntimeError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "find_duplicates", broken)
        with pytest.raises(RuntimeError, match="the power went"):
            run_etl(spark, source, dataset, SMALL)
    with pytest.raises(UserError, match="no finished dataset"):
        Dataset.open(dataset)
    decoded = {path.name: path.stat().st_mtime_ns for path in (dataset / SHARDS_FOLDER).iterdir()}
    assert decoded
    manifest = run_etl(spark, source, dataset, SMALL)
    assert manifest.written == 64
    for path in (dataset / SHARDS_FOLDER).iterdir():
        assert decoded[path.name] == path.stat().st_mtime_ns


@needs_sample
def test_the_real_sample(spark, tmp_path):
    manifest = run_etl(spark, SAMPLE, tmp_path / "dataset")
    assert (manifest.layout, manifest.listed, manifest.written) == ("cnmc", 62, 62)
    assert manifest.image_size == 224
    assert manifest.splits["test"].images_per_class == {"hem": 4, "all": 10}
    assert manifest.splits["validation"].images > 0
    subjects = [subject for split in manifest.splits.values() for subject in split.images_per_subject]
    assert len(subjects) == len(set(subjects))
    assert json.loads((tmp_path / "dataset" / "manifest.json").read_text())["options"]["crop"] == 300


def test_four_classes_in_given_splits_without_leaks_and_with_one_class_left_aside(spark, tmp_path):
    seed = 0
    for split, num in (("train_set", 6), ("valid", 2), ("Test Data", 2)):
        for name in ("benign", "early", "pre", "pro", "smudge"):
            for _ in range(num):
                write_image(tmp_path / "source" / split / name / f"p{seed}.png", cell(seed))
                seed += 1
    shutil.copy(tmp_path / "source" / "Test Data" / "pre" / "p44.png", tmp_path / "source" / "train_set" / "pre")
    options = EtlOptions.of(image_size=16, crop=40, ignore_class=("smudge",), positive="early,pre,pro")
    manifest = run_etl(spark, tmp_path / "source", tmp_path / "dataset", options)
    assert manifest.class_names == ("benign", "early", "pre", "pro")
    assert manifest.positive_classes == ("early", "pre", "pro")
    assert manifest.left_aside == {"class smudge, ignored as asked": 10}
    assert (manifest.listed, manifest.written, manifest.dropped) == (51, 40, 1)
    assert manifest.splits["train"].images_per_class == {"benign": 6, "early": 6, "pre": 6, "pro": 6}
    assert {name: split.images for name, split in manifest.splits.items()} == {"train": 24, "validation": 8, "test": 8}
    assert manifest.leakage.dropped == {"train_set/pre/p44.png": "the same pixels are also in test"}
    assert all(claim.holds for claim in verify(spark, Dataset.open(tmp_path / "dataset")))
    names = {(row["class_name"], row["label"]) for _, row in rows_of(tmp_path / "dataset")}
    assert names == {("benign", 0), ("early", 1), ("pre", 2), ("pro", 3)}
