import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from etl.options import EtlOptions
from etl.pipeline import run_etl
from etl.verify import verify
from hvdcells.data.dataset import Dataset
from hvdcells.errors import UserError
from hvdcells.rank.input.reader import open_reader
from tests.etl.cells import write_cnmc

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def made(spark, tmp_path_factory):
    root = tmp_path_factory.mktemp("verify")
    write_cnmc(root / "source", images_per_subject=2)
    run_etl(spark, root / "source", root / "dataset", EtlOptions.of(image_size=16, crop=40))
    return root / "dataset"


@pytest.fixture
def copy(made, tmp_path):
    shutil.copytree(made, tmp_path / "dataset")
    return tmp_path / "dataset"


def failing(spark, dataset):
    return {finding.claim: finding.against for finding in verify(spark, Dataset.open(dataset)) if not finding.holds}


def rewrite(path, change):
    """Write a Parquet file anew with the same row groups, its rows changed."""
    file = pq.ParquetFile(path)
    groups = [file.read_row_group(index) for index in range(file.num_row_groups)]
    rows = [group.to_pylist() for group in groups]
    change([row for group in rows for row in group])
    texts = [name for name in file.schema_arrow.names if name != "image"]  # as the ETL writes it
    with pq.ParquetWriter(path, file.schema_arrow, use_dictionary=texts) as writer:
        for group, members in zip(groups, rows, strict=True):
            columns = {name: [member[name] for member in members] for name in group.column_names}
            writer.write_table(type(group).from_pydict(columns, schema=file.schema_arrow))


def only_file(dataset, split):
    (path,) = (dataset / "images" / f"split={split}").glob("*.parquet")
    return path


def test_what_the_stage_writes_is_sound(spark, made):
    assert failing(spark, made) == {}


def test_a_subject_and_a_copy_on_two_sides_are_found(spark, copy):
    stolen = pq.read_table(only_file(copy, "train"), partitioning=None).to_pylist()[0]

    def change(rows):
        rows[0].update(image=stolen["image"], subject=stolen["subject"])

    rewrite(only_file(copy, "test"), change)
    found = failing(spark, copy)
    assert stolen["subject"] in found["no subject is in two splits"]
    assert "no pixel-identical stored image is in two splits" in found
    assert "no pixel-identical source image is in two splits" not in found  # that column still says otherwise
    assert "images per split, class and subject are those of the manifest" in found


def test_a_damaged_image_and_one_of_another_size_are_found(spark, copy):
    def change(rows):
        rows[0]["image"] = rows[0]["image"][:100]
        import io

        memory = io.BytesIO()
        np.save(memory, np.zeros((8, 8, 3), np.uint8))
        rows[1]["image"] = memory.getvalue()
        rows[2]["label"] = 1 - rows[2]["label"]

    rewrite(only_file(copy, "validation"), change)
    against = failing(spark, copy)["every file reads and every image decodes"]
    assert "damaged stored image" in against
    assert "shape (8, 8, 3)" in against
    assert "label" in against


def test_bytes_that_changed_on_disk_are_found_by_check_and_by_who_reads_them(spark, copy):
    path = only_file(copy, "train")
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    content = bytearray(path.read_bytes())
    middle = column.data_page_offset + column.total_compressed_size // 2
    content[middle : middle + 40] = bytes(40)
    path.write_bytes(content)
    pq.read_table(path, partitioning=None)  # nobody else notices
    found = failing(spark, copy)
    assert "every file reads and every image decodes" not in found
    assert f"{path}: images or labels of row group 0" in found["all that is stored is what was written"]
    dataset = Dataset.open(copy)
    order = range(len(dataset.row_groups("train")))
    with (
        pytest.raises(UserError, match="row group 0: not what was written there"),
        open_reader(dataset, "train", order, input_size=16, num_threads=1) as row_groups,
    ):
        list(row_groups)


def test_a_changed_subject_is_found_by_check_and_by_who_reads_it(spark, copy):
    rewrite(only_file(copy, "train"), lambda rows: rows[0].update(cell="77"))
    found = failing(spark, copy)
    assert "every file reads and every image decodes" not in found
    assert "the column cell" in found["all that is stored is what was written"]
    dataset = Dataset.open(copy)
    assert len(dataset.read_rows("train", ["subject"])) == dataset.split("train").images
    with pytest.raises(UserError, match="column cell: not what was written there"):
        dataset.read_rows("train", ["subject", "cell"])


def test_a_dataset_of_an_earlier_version_is_read_and_check_says_what_it_did_not_look_at(spark, copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    for split in manifest["splits"].values():
        for file in split["files"]:
            del file["row_group_checksums"], file["column_checksums"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    claims = verify(spark, Dataset.open(copy))
    assert all(claim.holds for claim in claims)
    assert any("not looked at" in claim.claim for claim in claims)


def test_a_missing_a_foreign_and_a_broken_file_are_found(spark, copy):
    shutil.copy(only_file(copy, "test"), copy / "images" / "split=test" / "part-99999-0.parquet")
    only_file(copy, "train").write_bytes(b"PAR1 this is no Parquet")
    only_file(copy, "validation").unlink()
    found = failing(spark, copy)
    assert "is missing" in found["the Parquet files are those of the manifest"]
    assert "is in no manifest" in found["the Parquet files are those of the manifest"]
    assert "cannot be read" in found["every file reads and every image decodes"]


def test_a_manifest_that_counts_wrongly_is_found(spark, copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["listed"] += 2
    test = manifest["splits"]["test"]
    test["images_per_class"]["all"] += 1
    test["images"] += 1
    test["images_per_subject"][next(iter(test["images_per_subject"]))] += 1
    test["files"][0]["rows_per_row_group"][0] += 1
    manifest["written"] += 1
    (copy / "manifest.json").write_text(json.dumps(manifest))
    found = failing(spark, copy)
    assert "accounted for" in found["listed = written + rejected + dropped + unlabelled + left aside"]
    assert (
        "test, all: 4 images, the manifest says 5"
        in found["images per split, class and subject are those of the manifest"]
    )
    assert "row groups of" in found["every file reads and every image decodes"]


@pytest.mark.parametrize("field", ["channel_mean", "channel_std", "size_bytes", "class_per_subject"])
def test_every_field_that_can_be_counted_anew_is(spark, copy, field):
    manifest = json.loads((copy / "manifest.json").read_text())
    if field == "size_bytes":
        manifest[field] += 1
    elif field == "class_per_subject":
        classes = manifest["splits"]["train"][field]
        first = next(iter(classes))
        classes[first] = "mixed"
    else:
        manifest[field][1] = 0
    (copy / "manifest.json").write_text(json.dumps(manifest))
    (claim, against) = next(iter(failing(spark, copy).items()))
    expected = {
        "channel_mean": "train: mean of G",
        "channel_std": "train: deviation of G",
        "size_bytes": "the manifest says",
        "class_per_subject": "of class",
    }
    assert expected[field] in against, claim


def test_a_pickle_that_is_not_ours_is_found_and_not_opened(spark, copy, tmp_path):
    import os
    import pickle

    from petastorm.etl.dataset_metadata import UNISCHEMA_KEY

    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "mark"),)

    location = copy / "images" / "_common_metadata"
    schema = pq.read_schema(location)
    pq.write_metadata(schema.with_metadata({**schema.metadata, UNISCHEMA_KEY: pickle.dumps(Attack())}), location)
    assert "another schema than ours" in failing(spark, copy)["Petastorm's metadata names the same row groups"]
    assert not (tmp_path / "mark").exists()


def test_kept_leaks_fail_the_check(spark, tmp_path):
    write_cnmc(tmp_path / "source", images_per_subject=1)
    image = next((tmp_path / "source" / "training_data" / "fold_0" / "all").glob("*.bmp"))
    shutil.copy(image, tmp_path / "source" / "training_data" / "fold_2" / "all" / "UID_90_1_1_all.bmp")
    options = EtlOptions.of(image_size=16, crop=40, keep_leaks=True)
    manifest = run_etl(spark, tmp_path / "source", tmp_path / "dataset", options)
    assert manifest.dropped == 0
    assert "kept as asked" in manifest.leakage.warnings[0]
    assert "no pixel-identical source image is in two splits" in failing(spark, tmp_path / "dataset")
