"""With pseudonyms no name of a person or a file is in anything that the ETL writes; else the dataset is the same."""

import csv
import os
import re
import stat

import pytest

from etl.options import EtlOptions
from etl.pipeline import run_etl
from etl.plan import plan_etl
from etl.source.pseudonyms import Pseudonyms
from etl.source.rows import ImageRow
from hvdcells.data.dataset import Dataset
from hvdcells.errors import UserError
from hvdcells.storage import parquet
from tests.etl.cells import cell, write_cnmc, write_image

OPTIONS = {"image_size": 16, "crop": 40, "max_rejects": 1.0}


@pytest.fixture
def key(tmp_path):
    return tmp_path / "keys" / "study.key"


def all_below(folder):
    """Every file's name and content; what Parquet compresses as text."""
    for path in folder.rglob("*"):
        if path.is_file():
            text = b""
            if path.suffix == ".parquet":
                table = parquet.read_table(str(path))
                kept = [name for name in table.column_names if name != "image"]
                text = str(table.select(kept).to_pydict()).encode()
            yield str(path), str(path.relative_to(folder)).encode() + path.read_bytes() + text


@pytest.mark.spark
def test_no_name_is_written_and_the_dataset_is_otherwise_the_same(spark, tmp_path, key):
    source = tmp_path / "source"
    write_cnmc(source, images_per_subject=2)
    folds = source / "training_data"
    write_image(folds / "fold_0" / "all" / "UID_1_9_9_all.png", cell(0))  # a copy, which is told in the manifest
    (folds / "fold_1" / "hem" / "UID_H3_8_8_hem.bmp").write_bytes(b"BM broken")  # a reject
    named = run_etl(spark, source, tmp_path / "named", EtlOptions.of(**OPTIONS))
    options = EtlOptions.of(**OPTIONS, pseudonyms=str(key))
    hidden = run_etl(spark, source, tmp_path / "hidden", options)

    names = re.compile(rb"UID_|fold_\d/|[/\"]H?\d+_\d+_\d+_|study\.key")
    told = {path: match for path, content in all_below(tmp_path / "hidden") if (match := names.search(content))}
    assert told == {}
    told = {path for path, content in all_below(tmp_path / "named") if names.search(content)}
    assert {path.rsplit(".", 1)[-1] for path in told} >= {"json", "parquet"}

    assert (hidden.listed, hidden.written, hidden.rejected) == (named.listed, named.written, named.rejected)
    assert hidden.leakage.num_identical_pairs == named.leakage.num_identical_pairs == 1
    # The map tells who is who, and only its owner reads it.
    (mapped,) = key.parent.glob("study.key.*.csv")
    assert stat.S_IMODE(mapped.stat().st_mode) == stat.S_IMODE(key.stat().st_mode) == 0o600
    with mapped.open(newline="") as text:
        subject_of = {line["subject_pseudonym"]: line["subject"] for line in csv.DictReader(text)}
    assert len(subject_of) == 16
    for split, summary in hidden.splits.items():
        assert len(summary.images_per_subject) == len(named.splits[split].images_per_subject)
        of = Dataset.open(tmp_path / "hidden").read_rows(split, ["subject", "content_hash"])
        subjects = dict(zip(of["content_hash"], of["subject"].map(subject_of), strict=True))
        assert subjects.items() <= {
            (row.content_hash, row.subject)
            for each in named.splits
            for row in Dataset.open(tmp_path / "named").read_rows(each, ["content_hash", "subject"]).itertuples()
        }
    (reject,) = parquet.read_table(str(tmp_path / "hidden" / "rejects" / "rejects.parquet"))["source"].to_pylist()
    assert reject == Pseudonyms(key).of("source", "training_data/fold_1/hem/UID_H3_8_8_hem.bmp")

    # Asked for again, there is nothing to do; under another key, or none, it is another dataset.
    assert run_etl(spark, source, tmp_path / "hidden", options) == hidden
    for other in (None, str(tmp_path / "other.key")):
        with pytest.raises(UserError, match="made with pseudonyms="):
            plan_etl(source, tmp_path / "hidden", EtlOptions.of(**OPTIONS, pseudonyms=other))
    with pytest.raises(UserError, match=r"made with pseudonyms=None"):
        plan_etl(source, tmp_path / "named", options)


def test_the_same_name_has_the_same_pseudonym_under_one_key_only(tmp_path, key):
    first, again, other = Pseudonyms(key), Pseudonyms(key), Pseudonyms(tmp_path / "other.key")
    assert first.of("subject", "H11") == again.of("subject", "H11") != other.of("subject", "H11")
    assert first.of("subject", "H11") != first.of("cell", "H11")
    assert first.of("subject", "") == ""
    assert first.key_id == again.key_id != other.key_id
    row = first.of_row(ImageRow("a/H11.png", 1, "x", subject="H11", image_id="a/H11", cell="1"))
    assert row.where == "a/H11.png"
    assert "H11" not in "".join(map(str, row._replace(path="")))


def test_a_key_that_others_read_or_that_is_none_is_refused(key):
    Pseudonyms(key)
    key.chmod(0o640)
    with pytest.raises(UserError, match="can be read by others") as caught:
        Pseudonyms(key)
    assert caught.value.remedy == f"chmod 600 '{key}'"
    key.chmod(0o600)
    key.write_text("secret")
    with pytest.raises(UserError, match="holds no key"):
        Pseudonyms(key)


def test_a_key_with_the_images_or_in_the_dataset_is_refused(tmp_path):
    for class_name in ("all", "hem"):
        write_image(tmp_path / "source" / class_name / "1.png", cell(1))
    os.symlink(tmp_path / "source", tmp_path / "link")  # noqa: PTH211
    for place in ("source", "dataset", "link"):
        options = EtlOptions.of(pseudonyms=str(tmp_path / place / "key"))
        with pytest.raises(UserError, match="lies in"):
            plan_etl(tmp_path / "source", tmp_path / "dataset", options)
    assert not (tmp_path / "source" / "key").exists()
