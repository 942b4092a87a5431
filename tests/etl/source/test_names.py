import csv
from collections import Counter

import pytest

from etl.source.layouts.cnmc import rows_of
from etl.source.rows import LISTED, UNLABELLED
from hvdcells.images.cell_names import class_folder_of, fold_of, is_final_test, is_preliminary_test, parse_cell_name
from hvdcells.images.files import SourceFile
from tests.etl.cells import FULL_MANIFEST, SAMPLE, needs_manifest, needs_sample


@pytest.mark.parametrize(
    ("name", "subject", "class_name", "label"),
    [
        ("UID_11_3_2_all.bmp", "11", "all", 1),
        ("UID_H11_3_2_hem.bmp", "H11", "hem", 0),
        ("UID_h3_3_2_hem.bmp", "H3", "hem", 0),
        ("uid_h3_3_2_HEM.BMP", "H3", "hem", 0),
        ("a/b/UID_4_1_1_all.png", "4", "all", 1),
    ],
)
def test_cell_names(name, subject, class_name, label):
    cell = parse_cell_name(name)
    assert (cell.subject, cell.class_name, cell.label) == (subject, class_name, label)


@pytest.mark.parametrize(
    "name", ["1.bmp", "UID_11_3_all.bmp", "UID__1_1_all.bmp", "UID_X1_1_1_all.bmp", "UID_1_1_1_cat.bmp"]
)
def test_other_names_are_not_cells(name):
    assert parse_cell_name(name) is None


def test_folders():
    assert fold_of("x/fold_0/fold_0/all/a.bmp") == 0
    assert fold_of("PKG - C-NMC 2019/C-NMC_training_data/Fold_2/ALL/a.bmp") == 2
    assert fold_of("x/all/fold_1.bmp") is None
    assert class_folder_of("fold_0/ALL/a.bmp") == "all"
    assert class_folder_of("fold_0/other/a.bmp") is None
    assert is_preliminary_test("C-NMC_Leukemia/validation_data/C-NMC_test_prelim_phase_data/1.bmp")
    assert is_final_test("testing_data/C-NMC_test_final_phase_data/1.bmp")
    assert not is_final_test("testing_data/test_final.bmp")


@pytest.fixture(scope="module")
def full_rows():
    with (SAMPLE / "validation_data" / "C-NMC_test_prelim_phase_data_labels.csv").open() as file:
        labels = {line["new_names"]: (line["Patient_ID"], line["labels"]) for line in csv.DictReader(file)}
    with FULL_MANIFEST.open() as file:
        lines = list(csv.DictReader(file, delimiter="\t"))
    images = [
        SourceFile(line["path"], int(line["bytes"]), line["sha256"]) for line in lines if line["path"].endswith(".bmp")
    ]
    return list(rows_of(images, labels))


@needs_manifest
@needs_sample
def test_all_paths_of_the_real_data(full_rows):
    assert len(full_rows) == 15114
    assert Counter(row.status for row in full_rows) == {LISTED: 12528, UNLABELLED: 2586}
    training = [row for row in full_rows if row.status == LISTED and row.official_split != "test"]
    test = [row for row in full_rows if row.official_split == "test"]
    assert len(training) == 10661
    assert Counter((row.fold, row.class_name) for row in training) == {
        (0, "all"): 2397,
        (0, "hem"): 1130,
        (1, "all"): 2418,
        (1, "hem"): 1163,
        (2, "all"): 2457,
        (2, "hem"): 1096,
    }
    assert Counter(row.label for row in test) == {1: 1219, 0: 648}
    assert {row.official_split for row in training if row.fold in (0, 1)} == {"train"}
    assert {row.official_split for row in training if row.fold == 2} == {"validation"}


@needs_manifest
@needs_sample
def test_all_subjects_of_the_real_data(full_rows):
    def subjects(split_is_test, label):
        chosen = (row for row in full_rows if row.status == LISTED and row.label == label)
        return {row.subject for row in chosen if (row.official_split == "test") == split_is_test}

    assert [len(subjects(False, 1)), len(subjects(False, 0))] == [47, 26]
    assert [len(subjects(True, 1)), len(subjects(True, 0))] == [13, 15]
    assert not (subjects(False, 1) | subjects(False, 0)) & (subjects(True, 1) | subjects(True, 0))
    assert {"11", "H11"} <= subjects(False, 1) | subjects(False, 0)
    h3 = [row for row in full_rows if row.subject == "H3"]
    assert len(h3) == 36
    assert {row.fold for row in h3} == {2}
    assert len({row.image_id for row in full_rows if row.status == LISTED}) == 12528
