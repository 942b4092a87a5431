"""What is found to predict in folders, C-NMC's and others, and in tables; what is known of labels and subjects."""

import pandas as pd
import pytest

from hvdcells.errors import UserError
from hvdcells.inference.source import ListedImage, Source
from tests.etl.cells import write_cnmc

NAMES = ("hem", "all")


def listed(source, pattern=None):
    return {image.path: (image.subject, image.class_name) for image in Source.open(source).images(NAMES, pattern)}


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def test_a_folder_needs_no_labels_and_carries_along_what_folders_and_pattern_say(tmp_path):
    touch(tmp_path, "p7/a.png", "p8/all/b.BMP", ".hidden/c.png", ".d.png", "notes.txt", "e.jpg")
    assert listed(tmp_path) == {"p7/a.png": ("", ""), "p8/all/b.BMP": ("", "all"), "e.jpg": ("", "")}
    subjects = listed(tmp_path, r"p(\d)/")
    assert {path: subject for path, (subject, _) in subjects.items()} == {
        "p7/a.png": "7",
        "p8/all/b.BMP": "8",
        "e.jpg": "",
    }
    with pytest.raises(UserError, match="--subject-pattern"):
        listed(tmp_path, "(")


def test_a_cnmc_folder_tells_subjects_and_classes_also_of_its_preliminary_test(tmp_path):
    num_images = write_cnmc(tmp_path)
    touch(tmp_path, "C-NMC_test_final_phase_data/1.bmp", "C-NMC_test_final_phase_data/2.bmp")
    found = listed(tmp_path)
    assert len(found) == num_images + 2
    unknown = {path for path, known in found.items() if known == ("", "")}
    assert unknown == {"C-NMC_test_final_phase_data/1.bmp", "C-NMC_test_final_phase_data/2.bmp"}
    preliminary = {known for path, known in found.items() if "prelim" in path}
    assert {subject for subject, _ in preliminary} == {"7", "8", "H7", "H8"}
    assert all((kind == "hem") == subject.startswith("H") for subject, kind in preliminary)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_needs_only_paths(tmp_path, suffix):
    table = pd.DataFrame({"Path": ["a.png", "b/c.png"], "subject": ["1", None], "label": ["all", None]})
    where = tmp_path / f"images.{suffix}"
    table.to_csv(where, index=False) if suffix == "csv" else table.to_parquet(where)
    expected = {"a.png": ("1", "all"), "b/c.png": ("", "")}
    assert listed(where) == expected == listed(tmp_path)  # the only table of a folder is what it names
    table[["Path"]].to_csv(tmp_path / "paths.csv", index=False)
    assert listed(tmp_path / "paths.csv") == {"a.png": ("", ""), "b/c.png": ("", "")}
    with pytest.raises(UserError, match="2 tables"):
        Source.open(tmp_path)


@pytest.mark.parametrize("lines", ["a.png\nb.png\na.png", "a.png\n \nb.png", 'a.png\n""'])
def test_a_table_that_would_have_an_image_predicted_twice_is_refused(tmp_path, lines):
    (tmp_path / "t.csv").write_text(f"path\n{lines}\n")
    with pytest.raises(UserError, match="line"):
        listed(tmp_path / "t.csv")


def test_what_is_no_source_is_refused(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        Source.open(tmp_path / "nothing")
    touch(tmp_path, "one.png")
    (tmp_path / "other.csv").write_text("name\n1\n")
    for name in ("one.png", "other.csv"):
        with pytest.raises(UserError, match="is a file"):
            Source.open(tmp_path / name)


def test_a_changed_file_has_another_fingerprint(tmp_path):
    touch(tmp_path, "a.png")
    before = list(Source.open(tmp_path).images(NAMES))
    (tmp_path / "a.png").write_bytes(b"longer")
    after = list(Source.open(tmp_path).images(NAMES))
    assert before[0]._replace(fingerprint="") == after[0]._replace(fingerprint="") == ListedImage("a.png")
    assert before != after
