"""Every file of a source is an image, a table, or named with what became of it."""

import gzip

import cv2
import numpy as np
import pandas as pd
import pytest

from etl.options import EtlOptions
from etl.source.identity import settle_subjects
from etl.source.layouts.detect import understand
from etl.source.listing import Listing
from etl.source.rows import LISTED, REJECTED
from hvdcells.errors import UserError
from hvdcells.images.tables import lines_of
from tests.etl.cells import cell, write_image


def look(source, **options):
    layout = understand(str(source), EtlOptions.of(**options))
    return layout, {row.source: row for row in layout.rows()}, Listing(layout)


def write_mask(path, side=48):
    mask = np.zeros((side, side, 3), np.uint8)
    cv2.circle(mask, (side // 2, side // 2), side // 4, (255, 255, 255), -1)
    write_image(path, mask)


def write_classes(root, per_class=4, name="{}.png"):
    number = 0
    for class_name in ("eos", "mono"):
        for _ in range(per_class):
            write_image(root / class_name / name.format(number), cell(number))
            number += 1


@pytest.mark.parametrize(
    "mask_of",
    [
        lambda root, name, number: root / name / f"{number}_mask.png",
        lambda root, name, number: root / name / f"{number}-seg.jpg",
        lambda root, name, number: root / name / "masks" / f"{number}.png",
        lambda root, name, number: root / "masks" / name / f"{number}.png",
        lambda root, name, number: root / name / "Ground_Truth" / f"{number}_gt.png",
    ],
)
def test_masks_beside_images_are_no_cells(tmp_path, mask_of):
    write_classes(tmp_path)
    for number in range(8):
        write_mask(mask_of(tmp_path, "eos" if number < 4 else "mono", number))
    layout, rows, listing = look(tmp_path)
    assert layout.class_names == ("eos", "mono")
    assert set(rows) == {f"{'eos' if number < 4 else 'mono'}/{number}.png" for number in range(8)}
    assert sum(num for reason, num in listing.left_aside.items() if reason.startswith("mask or label map")) == 8
    assert listing.num_images == 16


def test_what_is_only_called_a_mask_stays_and_is_named(tmp_path):
    write_classes(tmp_path)
    for number in range(4):
        write_image(tmp_path / "eos" / f"{number}_mask.png", cell(100 + number))
    write_mask(tmp_path / "mono" / "alone_mask.png")
    layout, rows, _ = look(tmp_path)
    assert len(rows) == 13
    assert any("4 images named like masks" in note and "--exclude '*_mask.*'" in note for note in layout.notes)
    _, rows, listing = look(tmp_path, exclude=("*_mask.*",))
    assert len(rows) == 8
    assert listing.left_aside == {"named by --exclude": 5}
    _, rows, listing = look(tmp_path, include=("*/[0-9].png",))
    assert len(rows) == 8
    assert listing.left_aside == {"not named by --include": 5}


def test_folders_of_systems_are_no_classes(tmp_path):
    write_classes(tmp_path)
    for folder in ("$RECYCLE.BIN", "eos/@eaDir", "__MACOSX/eos", "mono/Thumbnails"):
        write_image(tmp_path / folder / "1.png", cell(1))
    layout, rows, listing = look(tmp_path)
    assert layout.class_names == ("eos", "mono")
    assert len(rows) == 8
    assert listing.left_aside.total() == 4


def test_everything_that_lies_in_a_source_is_counted(tmp_path):
    write_classes(tmp_path)
    (tmp_path / "readme.txt").write_text("x")
    (tmp_path / "eos" / ".hidden.png").write_text("x")
    (tmp_path / ".git").mkdir()
    (tmp_path / "eos" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    write_image(tmp_path / "mono" / "phone.jpg", cell(50))
    (tmp_path / "mono" / "phone.jpg").rename(tmp_path / "mono" / "phone.jfif")
    layout, rows, listing = look(tmp_path)
    assert rows["eos/gone.png"].status == REJECTED
    assert rows["mono/phone.jfif"].status == LISTED
    assert layout.other_files == {
        "file that is no image (.txt)": 1,
        "hidden file": 1,
        "hidden folder, not looked into": 1,
        "table that is not used": 1,
    }
    assert listing.num_images + sum(layout.other_files.values()) == 14


@pytest.mark.parametrize("path", ["{}.png", "eos/{}.png", "{}"])
def test_a_table_beside_class_folders_brings_the_subjects(tmp_path, path):
    write_classes(tmp_path, name="img{}.png")
    folders = ["eos" if number < 4 else "mono" for number in range(8)]
    lines = [f"{path.replace('eos', folders[n]).format(f'img{n}')};{folders[n]};P{n // 2}" for n in range(8)]
    (tmp_path / "metadata.csv").write_text("filename;label;patient_id\n" + "\n".join(lines) + "\n")
    layout, rows, _ = look(tmp_path)
    assert layout.name == "folders"
    assert layout.subjects_known
    assert rows["mono/img7.png"].subject == "P3"
    assert layout.other_files == {"table of subjects": 1}


def test_a_table_beside_class_folders_that_does_not_fit_is_named_with_what_to_do(tmp_path):
    write_classes(tmp_path)
    (tmp_path / "metadata.csv").write_text("filename,patient_id\n0.png,a\n1.png,b\n")
    layout, _, _ = look(tmp_path)
    assert not layout.subjects_known
    assert any("it names 2 of the 8 images" in note for note in layout.notes)
    with pytest.raises(UserError, match="--subject-column patient_id, but no table"):
        look(tmp_path, subject_column="patient_id")


def test_a_table_that_contradicts_the_folders_is_refused(tmp_path):
    write_classes(tmp_path)
    lines = [f"{number}.png,{'mono' if number < 5 else 'eos'},{number}" for number in range(8)]
    (tmp_path / "metadata.csv").write_text("filename,label,patient_id\n" + "\n".join(lines))
    with pytest.raises(UserError, match="gives 7 images another class than their folders"):
        look(tmp_path)


LINES = [f"{'eos' if number < 4 else 'mono'}/{number}.png" for number in range(8)]


@pytest.mark.parametrize(
    ("name", "mark", "encoding"),
    [
        ("t.csv", ";", "utf-8"),
        ("t.tsv", "\t", "utf-8"),
        ("t.csv.gz", ",", "utf-8"),
        ("t.csv", ";", "utf-16"),
        ("t.csv", ";", "cp1252"),
        ("t.csv", ",", "utf-8-sig"),
    ],
)
def test_tables_in_the_forms_that_people_have(tmp_path, name, mark, encoding):
    write_classes(tmp_path)
    lines = [
        mark.join(("Path", "Label", "Subject")),
        *(mark.join((path, path.partition("/")[0], "Jürgen")) for path in LINES),
    ]
    content = ("\r\n".join(lines) + "\r\n").encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    layout, rows, _ = look(tmp_path)
    assert layout.name == "table"
    assert {row.subject for row in rows.values()} == {"Jürgen"}
    assert num_per_status(rows) == {LISTED: 8}


def num_per_status(rows):
    found = {}
    for row in rows.values():
        found[row.status] = found.get(row.status, 0) + 1
    return found


def test_columns_by_option_and_bad_lines_are_rejects(tmp_path):
    write_classes(tmp_path)
    lines = [
        f".\\{path.replace('/', chr(92))},{path[:3]},p{number % 3},{'n' * 200_000 if number == 3 else ''}"
        for number, path in enumerate(LINES)
    ]
    lines += [",eos,p1,", f"{'x' * 300}.png,eos,p1,", "a\0b.png,eos,p1,", "./eos//0.png,mon,p1,"]
    (tmp_path / "t.csv").write_text("picture,kind,who,note\n" + "\n".join(lines) + "\n")
    columns = {"path_column": "picture", "label_column": "Kind", "subject_column": "who"}
    layout, rows, _ = look(tmp_path, **columns)
    assert (layout.class_names, layout.subjects_known) == (("eos", "mon"), True)
    assert num_per_status(rows) == {LISTED: 8, REJECTED: 4}
    with pytest.raises(UserError, match="--path-column image"):
        look(tmp_path / "t.csv", path_column="image")


def test_a_quote_that_swallows_lines_and_a_doubled_column_are_refused(tmp_path):
    write_classes(tmp_path)
    lines = [f"{path},{path[:3]},fine" for path in LINES]
    lines[2] = f'{LINES[2]},eos,"5 inch'
    lines[5] = f'{LINES[5]},mon,6" wide'
    (tmp_path / "t.csv").write_text("path,label,note\n" + "\n".join(lines) + "\n")
    with pytest.raises(UserError, match="a quote that is not closed"):
        list(lines_of(str(tmp_path / "t.csv")))
    (tmp_path / "t.csv").write_text("path,label,Label\n0.png,eos,mono\n")
    with pytest.raises(UserError, match="the column label twice"):
        look(tmp_path / "t.csv")


def test_a_pattern_takes_its_first_group_or_the_one_named_subject(tmp_path):
    write_classes(tmp_path, name="pat{0}_s_9.png")
    for pattern, subject in ((r"pat(\d+)_s_(\d+)", "7"), (r"pat\d+_s_(?P<subject>\d+)", "9"), (r"pat\d+", "pat7")):
        _, rows, listing = look(tmp_path, subject_pattern=pattern)
        assert rows["mono/pat7_s_9.png"].subject == subject
    assert listing.subjects_told() == "8 subjects (images of each): pat0 (1), pat1 (1), pat2 (1), … pat7 (1)"


def test_names_that_are_surely_one_person_are_and_what_may_be_is_said():
    standing, notes = settle_subjects({"P5": 3, "p5 ": 2, "P6": 1, "P-6": 1, "nan": 4})
    assert standing == {"P5": "P5", "p5 ": "P5"}
    assert len(notes) == 3
    assert "may be one person" in notes[2]
    assert settle_subjects({"001": 1, "1": 2, "2.0": 1, "2": 1})[0] == {"001": "1", "1": "1", "2.0": "2", "2": "2"}
    assert settle_subjects({"001": 1, "1": 2, "H1": 1})[0] == {}
    assert settle_subjects({"P5": 3, "p5": 2}, exact=True) == ({}, ())


def test_options_that_the_layout_would_swallow_are_refused(tmp_path):
    write_classes(tmp_path)
    lines = [f"{path},{path[:3]}" for path in LINES]
    (tmp_path / "t.csv").write_text("path,label\n" + "\n".join(lines) + "\n")
    with pytest.raises(UserError, match=r"(?s)--subject-pattern.*--class-level"):
        look(tmp_path, subject_pattern="(x)", class_level=1)
    (tmp_path / "t.csv").unlink()
    with pytest.raises(UserError, match="--label-column"):
        look(tmp_path, label_column="x")


def test_one_image_with_two_labels_is_rejected_however_its_path_is_written(tmp_path):
    write_classes(tmp_path)
    lines = ["path,label", "eos/0.png,sick", "./eos/0.png,well", "eos//1.png,sick", "eos/1.png,sick"]
    lines += ["eos/2.png,sick", "eos/../eos/3.png,well", "mono/4.png,well"]
    (tmp_path / "cells.csv").write_text("\n".join(lines))
    _, rows, listing = look(tmp_path)
    assert {row.source for row in rows.values() if row.status == LISTED} == {
        *("eos/1.png", "eos/2.png", "eos/3.png", "mono/4.png"),
    }
    assert dict(listing.rejected) == {
        "named twice in the table, with different labels": 1,
        "named twice in the table": 2,
    }
    assert listing.num_images == 7  # each line of the table
    assert listing.num_unnamed == 3  # and the images that none names


@pytest.mark.parametrize("form", ["parquet", "csv"])
@pytest.mark.parametrize("named", [False, True])
def test_a_table_that_spark_has_written_is_read_part_by_part(tmp_path, form, named):
    write_classes(tmp_path)
    table = tmp_path / f"labels.{form}"
    table.mkdir()
    paths = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png"))
    for part in range(2):
        lines = pd.DataFrame({"path": paths[part::2], "label": [path.startswith("eos") for path in paths[part::2]]})
        name = f"part-0000{part}-1f2e.c000.{'snappy.parquet' if form == 'parquet' else 'csv'}"
        lines.to_parquet(table / name) if form == "parquet" else lines.to_csv(table / name, index=False)
    (table / "_SUCCESS").touch()
    if named:  # absolute paths, or paths beside the table
        layout, rows, _ = look(table)
    else:
        layout, rows, _ = look(tmp_path)
        assert layout.other_files == {"file that is no image (no suffix)": 1, "table of images": 2}
    assert layout.name == "table"
    assert layout.class_names == ("False", "True")
    assert layout.positive_classes == ("True",)
    assert len(rows) == 8
    assert {row.class_name for row in rows.values() if row.source.startswith("eos")} == {"True"}
    assert all(row.status == LISTED for row in rows.values())
