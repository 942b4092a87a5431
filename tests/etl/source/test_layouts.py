import csv
import shutil
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl.options import EtlOptions
from etl.plan import refuse_overlap, refuse_unusable, resolve
from etl.source.layouts.detect import understand
from etl.source.listing import Listing
from etl.source.rows import LISTED, REJECTED, UNLABELLED
from hvdcells.errors import UserError, UserErrors
from tests.etl.cells import cell, write_cnmc, write_image

AUTO = EtlOptions.of()


@pytest.fixture(scope="module")
def cnmc(tmp_path_factory):
    root = tmp_path_factory.mktemp("cnmc")
    write_cnmc(root, images_per_subject=1)
    return root


def rows_of(source, options=AUTO):
    layout = understand(str(source), options)
    return layout, {row.source: row for row in layout.rows()}


def test_cnmc_as_distributed(cnmc):
    layout, rows = rows_of(cnmc)
    assert layout.name == "cnmc"
    assert layout.default_crop == 300
    assert Counter((row.official_split, row.label) for row in rows.values()) == {
        ("train", 0): 4,
        ("train", 1): 4,
        ("validation", 0): 2,
        ("validation", 1): 2,
        ("test", 0): 2,
        ("test", 1): 2,
    }
    test = rows["validation_data/C-NMC_test_prelim_phase_data/1.bmp"]
    assert (test.subject, test.class_name, test.cell) == ("7", "all", "1")


def test_cnmc_under_other_names_doubled_folders_and_upper_case(cnmc, tmp_path):
    training = tmp_path / "PKG - C-NMC 2019" / "C-NMC_training_data"
    for fold in range(3):
        target = training / f"fold_{fold}" / f"fold_{fold}"
        shutil.copytree(cnmc / "training_data" / f"fold_{fold}", target)
        (target / "all").rename(target / "ALL")
    for path in list(training.rglob("*.bmp")):
        path.rename(path.with_name(path.name.replace("UID_H1_", "UID_h1_")).with_suffix(".BMP"))
    write_image(tmp_path / "C-NMC_test_final_phase_data" / "1.bmp", cell(99, 60))
    layout, rows = rows_of(tmp_path)
    assert layout.name == "cnmc"
    assert Counter(row.status for row in rows.values()) == {LISTED: 12, UNLABELLED: 1}
    assert {row.subject for row in rows.values() if row.label == 0} == {f"H{number}" for number in range(1, 7)}
    assert Counter(row.fold for row in rows.values() if row.status == LISTED) == {0: 4, 1: 4, 2: 4}


def test_a_preliminary_image_the_csv_does_not_name_or_contradicts_is_rejected(cnmc, tmp_path):
    shutil.copytree(cnmc, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "validation_data"
    write_image(folder / "C-NMC_test_prelim_phase_data" / "77.bmp", cell(1))
    table = folder / "C-NMC_test_prelim_phase_data_labels.csv"
    lines = table.read_text().splitlines()
    lines[1] = lines[1][:-1] + "0"  # says healthy of UID_…_all.bmp
    table.write_text("\n".join(lines) + "\n")
    _, rows = rows_of(tmp_path)
    reasons = [row.reason for row in rows.values() if row.status == REJECTED]
    assert len(reasons) == 2
    assert any("without a line in the labels CSV" in reason for reason in reasons)
    assert any("labels CSV says '0'" in reason for reason in reasons)


def test_folders_of_any_depth_and_format(tmp_path):
    for split in ("train", "val"):
        for name in ("benign", "malignant"):
            for index, suffix in enumerate((".png", ".jpg", ".tif")):
                write_image(tmp_path / "set" / split / name / f"patient_{index}" / f"{index}{suffix}", cell(index))
    (tmp_path / "set" / "readme.txt").write_text("x")
    layout, rows = rows_of(tmp_path)
    assert layout.name == "folders"
    assert layout.class_names == ("benign", "malignant")
    assert layout.has_official_split
    assert layout.notes[0] == "folders name the splits: train → train, val → validation"
    assert not layout.subjects_known
    assert "cannot be ruled out" in layout.notes[1]
    assert Counter((row.official_split, row.label) for row in rows.values()) == {
        (split, label): 3 for split in ("train", "validation") for label in (0, 1)
    }
    layout, rows = rows_of(tmp_path, EtlOptions.of(subject_pattern=r"patient_(\d+)"))
    assert layout.subjects_known
    assert len(layout.notes) == 1
    assert {row.subject for row in rows.values()} == {"0", "1", "2"}


def test_names_of_any_characters_are_listed(tmp_path):
    for name in ("zell\u00e9 1.png", "a\tb.png", "line\nbreak.png", "100%.png"):
        write_image(tmp_path / "all" / name, cell(1))
    (tmp_path / "hem").mkdir()
    (tmp_path / "hem" / "1.png").write_bytes((tmp_path / "all" / "100%.png").read_bytes())
    with open(bytes(tmp_path / "hem") + b"/\xff.png", "wb") as file:  # noqa: PTH123
        file.write(b"x")
    _, rows = rows_of(tmp_path)
    assert {path for path in rows if "all/" in path} == {
        "all/zell\u00e9 1.png",
        "all/a\tb.png",
        "all/line\nbreak.png",
        "all/100%.png",
    }
    assert "hem/\\xff.png" in rows


def test_given_splits_are_respected_and_what_lies_beside_them_is_counted(tmp_path):
    seed = iter(range(1000))
    for split in ("train_set", "valid", "Test Data"):
        for name in ("eosinophil", "lymphocyte", "monocyte"):
            for index in range(2):
                write_image(tmp_path / split / name / f"{index}.png", cell(next(seed)))
    write_image(tmp_path / "Test Data" / "flat.png", cell(next(seed)))
    write_image(tmp_path / "examples" / "monocyte" / "1.png", cell(next(seed)))
    layout, rows = rows_of(tmp_path)
    assert layout.class_names == ("eosinophil", "lymphocyte", "monocyte")
    assert layout.positive_classes == ()
    assert layout.has_official_split
    listed = Counter(row.official_split for row in rows.values() if row.status == LISTED)
    assert listed == {"train": 6, "validation": 6, "test": 6}
    assert rows["Test Data/flat.png"].status == UNLABELLED
    assert rows["examples/monocyte/1.png"].status == REJECTED
    assert "beside the folders of the splits" in rows["examples/monocyte/1.png"].reason


def test_a_folder_that_only_says_train_holds_nothing_out(tmp_path):
    for name in "ab":
        write_image(tmp_path / "train" / name / "1.png", cell(ord(name)))
    layout, rows = rows_of(tmp_path)
    assert not layout.has_official_split
    assert {row.class_name for row in rows.values()} == {"a", "b"}


def test_what_an_ignored_class_held_is_left_aside_and_the_sum_is_the_listing(tmp_path):
    for name, num in (("a", 1), ("b", 2), ("c", 3)):
        for index in range(num):
            write_image(tmp_path / name / f"{index}.png", cell(10 * num + index))
    layout, _ = rows_of(tmp_path, EtlOptions.of(ignore_class=("c",)))
    listing = Listing(layout)
    assert listing.left_aside == {"class c, ignored as asked": 3}
    assert (listing.num_images, listing.num_to_decode) == (6, 3)


@pytest.fixture
def table(tmp_path):
    lines = [("Path", "Label", "subject", "split")]
    for index in range(6):
        write_image(tmp_path / "pictures" / f"{index}.png", cell(index))
        split = ("train", "val", "test")[index % 3]
        lines.append((f"pictures/{index}.png", "cancer" if index % 2 else "normal", f"s{index}", split))
    lines.append(("pictures/missing.png", "cancer", "s9", "train"))
    lines.append(("pictures/0.png", "normal", "s0", "train"))
    lines.append((str(tmp_path / "pictures" / "1.png"), "", "s1", "train"))
    lines.append(("pictures/2.png ", "normal", "", "holdout"))
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    return tmp_path / "labels.csv"


@pytest.mark.parametrize("form", ["csv", "parquet", "folder"])
def test_tables(table, form):
    source = table
    if form == "parquet":
        with table.open() as file:
            lines = list(csv.DictReader(file))
        source = table.with_suffix(".parquet")
        pq.write_table(
            pa.Table.from_pylist([{key: value or None for key, value in line.items()} for line in lines]), source
        )
    if form == "folder":
        source = table.parent
    layout, rows = rows_of(source)
    assert layout.name == "table"
    assert layout.base == str(table.parent)
    assert layout.class_names == ("normal", "cancer")
    assert layout.subjects_known
    assert Counter(row.status for row in rows.values()) == {LISTED: 6, REJECTED: 3, UNLABELLED: 1}
    assert rows["pictures/1.png"].official_split == "validation"
    assert {row.reason for row in rows.values() if row.status == REJECTED} == {
        "file not found",
        "named twice in the table",
    }


def test_a_table_with_missing_columns(tmp_path):
    (tmp_path / "t.csv").write_text("what,kind\na.png,1\n")
    with pytest.raises(UserError, match="no column path and no column label"):
        understand(str(tmp_path / "t.csv"), AUTO)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda root: None, {}, "does not exist"),
        (lambda root: root.mkdir(), {}, "holds no cell image"),
        (lambda root: (root.mkdir(), (root / "a.txt").write_text("x")), {}, "1 other files"),
        (lambda root: root.write_text("x"), {}, "is a file"),
        (lambda root: write_image(root / "a" / "1.png", cell(1)), {"layout": "cnmc"}, "none of the 1 images"),
        (lambda root: write_image(root / "a" / "1.png", cell(1)), {}, "1 class: a"),
        (lambda root: write_image(root / "a" / "1.png", cell(1)), {"layout": "table"}, "0 tables"),
        (lambda root: write_image(root / "a" / "1.png", cell(1)), {"subject_pattern": "("}, "--subject-pattern"),
    ],
)
def test_sources_that_cannot_be_used(tmp_path, make, options, message):
    make(tmp_path / "source")
    with pytest.raises(UserError, match=message) as error:
        understand(str(tmp_path / "source"), EtlOptions.of(**options))
    assert error.value.expected
    assert error.value.remedy


def test_one_class_only_and_no_label_at_all(cnmc, tmp_path):
    shutil.copytree(cnmc / "training_data" / "fold_0" / "all", tmp_path / "one" / "all")
    layout = understand(str(tmp_path / "one"), AUTO)
    with pytest.raises(UserError, match="no usable image of the class hem"):
        refuse_unusable(layout, Listing(layout), resolve(AUTO, layout))
    write_image(tmp_path / "none" / "C-NMC_test_final_phase_data" / "1.bmp", cell(1))
    write_image(tmp_path / "none" / "C-NMC_test_prelim_phase_data" / "UID_1_1_1_cat.bmp", cell(1))
    layout = understand(str(tmp_path / "none"), AUTO)
    with pytest.raises(UserError, match=r"none of the 2 images can be used: .*without a label"):
        refuse_unusable(layout, Listing(layout), resolve(AUTO, layout))


def test_wrong_options_are_reported_together():
    with pytest.raises(UserErrors) as error:
        EtlOptions.of(image_size=2, proportions=(0.5, 0.6, 0.1), layout="zip")
    assert len(error.value.problems) == 3


def test_source_and_dataset_may_not_overlap():
    refuse_overlap("/a/b", "/a/bc")
    for source, dataset in (("/a/b", "/a/b"), ("/a", "/a/b"), ("/a/b", "/a")):
        with pytest.raises(UserError, match="one within the other"):
            refuse_overlap(source, dataset)


def test_the_reason_that_was_counted_is_the_reason_that_is_told(tmp_path):
    for name in "ab":
        write_image(tmp_path / "folders" / name / "1.png", cell(ord(name)))
    options = EtlOptions.of(subject_pattern="nobody(x)")
    layout = understand(str(tmp_path / "folders"), options)
    with pytest.raises(UserError, match="2 × --subject-pattern finds no subject") as error:
        refuse_unusable(layout, Listing(layout), resolve(options, layout))
    assert error.value.remedy.startswith("correct --subject-pattern")
    (tmp_path / "t.csv").write_text("path,label\nno/1.png,a\nno/2.png,b\n")
    layout = understand(str(tmp_path / "t.csv"), AUTO)
    with pytest.raises(UserError, match="2 × file not found") as error:
        refuse_unusable(layout, Listing(layout), resolve(AUTO, layout))
    assert error.value.remedy.startswith("mend the paths")
