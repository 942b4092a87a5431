"""Demonstration cells: their layout, that they are the same every time, and that they are neither trivial nor leaky."""

import csv
import re
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from etl.demo_cells import generator
from etl.demo_cells.cell import BLAST, HEALTHY_CELL, draw_smear, draw_traits, paint
from etl.demo_cells.generator import synthesize
from etl.demo_cells.hard import harden
from etl.demo_cells.marker import read_marker, write_marker
from etl.demo_cells.plan import (
    LABELS_CSV,
    NUM_PARTS,
    TEST_FOLDER,
    TEST_PART,
    plan_cnmc,
    plan_pictures,
    plan_subjects,
)
from etl.demo_cells.stages import STAGES, plan_stages
from etl.options import EtlOptions
from etl.source.layouts.detect import understand
from hvdcells.data.columns import CANCER, HEALTHY, SYNTHETIC_MARKER
from hvdcells.errors import UserError

NAME = re.compile(r"UID_(H?\d+)_\d+_\d+_(all|hem)\.bmp")


@pytest.fixture(scope="module")
def small_set(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("synthetic") / "set"
    synthesize(out, num_subjects=8, images_per_subject=2, seed=3, workers=2)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_are_named_as_in_the_real_set(small_set):
    training = list((small_set / "C-NMC_Leukemia/training_data").rglob("*.bmp"))
    assert len(training) == 12
    for path in training:
        subject, class_name = NAME.fullmatch(path.name).groups()
        assert path.parent.name == class_name
        assert subject.startswith("H") == (class_name == "hem")
    assert {path.parent.parent.name for path in training} == {"fold_0", "fold_1", "fold_2"}
    assert {path.name for path in (small_set / TEST_FOLDER).iterdir()} == {f"{number}.bmp" for number in range(1, 5)}


def test_labels_of_the_preliminary_test(small_set):
    with (small_set / LABELS_CSV).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["Patient_ID", "new_names", "labels"]
    assert [row["new_names"] for row in rows] == [f"{number}.bmp" for number in range(1, 5)]
    for row in rows:
        assert row["labels"] == ("1" if NAME.fullmatch(row["Patient_ID"]).group(2) == "all" else "0")


def test_pictures_are_24_bit_bitmaps_of_one_cell_on_black(small_set):
    for path in small_set.rglob("*.bmp"):
        header = path.read_bytes()[:54]
        width, height = (int.from_bytes(header[at : at + 4], "little") for at in (18, 22))
        assert (header[:2], width, height, int.from_bytes(header[28:30], "little")) == (b"BM", 450, 450, 24)
        cell = cv2.imread(str(path)).any(axis=2)
        assert not cell[[0, -1]].any()
        assert not cell[:, [0, -1]].any()
        num_pieces, _, stats, _ = cv2.connectedComponentsWithStats(cell.astype(np.uint8), connectivity=8)
        assert num_pieces >= 2
        assert stats[1:, cv2.CC_STAT_AREA].max() > 0.99 * cell.sum()
        assert 0.05 < cell.mean() < 0.30


@pytest.mark.parametrize("num_subjects", [8, 9, 10, 11, 12, 13, 24, 73])
def test_every_part_has_both_classes_and_every_subject_one_part(num_subjects):
    subjects = plan_subjects(num_subjects, seed=0)
    assert len({subject.name for subject in subjects}) == num_subjects
    labels = defaultdict(set)
    for subject in subjects:
        labels[subject.part].add(subject.label)
    assert labels == {part: {CANCER, HEALTHY} for part in range(NUM_PARTS)}
    parts = defaultdict(set)
    pictures = plan_pictures(num_subjects, images_per_subject=3, seed=0)
    for picture in pictures:
        parts[NAME.fullmatch(picture.original_name).group(1)].add(picture.subject.part)
    assert all(len(found) == 1 for found in parts.values())
    assert len({picture.path for picture in pictures}) == len({picture.original_name for picture in pictures})
    assert len(pictures) == 3 * num_subjects


def test_same_seed_same_bytes_whatever_the_workers(small_set, tmp_path):
    synthesize(tmp_path / "one", num_subjects=8, images_per_subject=2, seed=3, workers=1)
    synthesize(tmp_path / "three", num_subjects=8, images_per_subject=2, seed=3, workers=3)
    assert contents(tmp_path / "one") == contents(tmp_path / "three") == contents(small_set)
    synthesize(tmp_path / "other", num_subjects=8, images_per_subject=2, seed=4)
    assert contents(tmp_path / "other") != contents(small_set)


def test_no_two_pictures_are_the_same(small_set):
    pixels = [content for path, content in contents(small_set).items() if path.endswith(".bmp")]
    assert len(set(pixels)) == len(pixels) == 16


def test_a_finished_set_is_left_alone(small_set):
    before = {path: path.stat().st_mtime_ns for path in small_set.rglob("*")}
    summary = synthesize(small_set, num_subjects=8, images_per_subject=2, seed=3)
    assert summary.num_written == 0
    assert {path: path.stat().st_mtime_ns for path in small_set.rglob("*")} == before


def test_an_interrupted_set_is_marked_and_completed(small_set, tmp_path, monkeypatch):
    painted = []

    def fail_at_the_sixth(*arguments):
        painted.append(1)
        if len(painted) == 6:
            raise KeyboardInterrupt
        return paint(*arguments)

    monkeypatch.setattr(generator, "paint", fail_at_the_sixth)
    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path, num_subjects=8, images_per_subject=2, seed=3, workers=1)
    monkeypatch.undo()
    assert read_marker(tmp_path).complete is False
    (tmp_path / TEST_FOLDER).mkdir(parents=True, exist_ok=True)
    (tmp_path / TEST_FOLDER / ".1.bmp.0123abcd").write_bytes(b"half")
    summary = synthesize(tmp_path, num_subjects=8, images_per_subject=2, seed=3)
    assert 0 < summary.num_written < 16
    assert contents(tmp_path) == contents(small_set)


def test_the_mark_says_synthetic_and_holds_for_every_folder_of_the_set(small_set):
    marker = read_marker(small_set)
    assert marker.complete
    assert "synthetic" in marker.notice
    assert (marker.seed, marker.num_subjects, marker.images_per_subject, marker.num_images) == (3, 8, 2, 16)
    for folder in [path for path in small_set.rglob("*") if path.is_dir()]:
        assert read_marker(folder) == marker
    assert read_marker(small_set.parent) is None


def test_a_mark_that_cannot_be_read_is_no_licence_to_take_the_images_for_real(tmp_path):
    (tmp_path / SYNTHETIC_MARKER).write_text("{}")
    with pytest.raises(UserError, match="cannot be read"):
        read_marker(tmp_path)


def test_a_folder_with_other_files_is_refused(small_set, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="not made here"):
        synthesize(tmp_path)
    with pytest.raises(UserError, match="another set"):
        synthesize(small_set, num_subjects=8, images_per_subject=2, seed=4)
    marker = read_marker(small_set)
    other_generator = tmp_path / "older"
    write_marker(str(other_generator), marker.model_copy(update={"generator_version": 0}))
    with pytest.raises(UserError, match="another set"):
        synthesize(other_generator, num_subjects=8, images_per_subject=2, seed=3)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_place_that_cannot_be_written_to_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="cannot write"):
        synthesize(tmp_path / "file" / "set")


def test_wrong_numbers_are_reported_together(tmp_path):
    with pytest.raises(UserError) as caught:
        synthesize(tmp_path / "out", num_subjects=7, images_per_subject=0, seed=-1, workers=0)
    for part in ("7 subjects", "--images-per-subject 0", "--seed -1", "--workers 0"):
        assert part in str(caught.value)
    assert not (tmp_path / "out").exists()


def weighted_f1(features, labels, train, unseen) -> float:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(features[train], labels[train])
    return f1_score(labels[unseen], model.predict(features[unseen]), average="weighted")


def test_mean_colour_and_area_do_not_tell_the_class_of_unseen_subjects():
    """Logistic regression stays below 0.80 on unseen subjects, and a split by image flatters it."""
    by_subject, by_image = [], []
    for seed in range(3):
        rows = []
        for picture in plan_pictures(24, images_per_subject=3, seed=seed):
            rng = np.random.default_rng(picture.seed_key)
            smear = draw_smear(picture.subject.smear_effects)
            image = paint(draw_traits((HEALTHY_CELL, BLAST)[picture.label], smear, rng), smear, rng)
            cell = image.any(axis=2)
            rows.append((*image[cell].mean(axis=0), cell.sum(), picture.subject.label, picture.subject.part))
        table = np.array(rows)
        features, labels, parts = table[:, :4], table[:, 4].astype(int), table[:, 5]
        by_subject.append(weighted_f1(features, labels, parts < TEST_PART - 1, parts >= TEST_PART - 1))
        order = np.random.default_rng(0).permutation(len(labels))
        by_image.append(weighted_f1(features, labels, order[: len(order) // 2], order[len(order) // 2 :]))
    assert max(by_subject) < 0.80
    assert np.mean(by_image) > np.mean(by_subject)


def test_four_classes_lie_in_folders_and_their_table_names_subjects_of_several_stages(tmp_path):
    summary = synthesize(tmp_path / "set", num_subjects=12, images_per_subject=5, seed=1, num_classes=4)
    assert summary.images_per_class == {"benign": 15, "early": 15, "pre": 15, "pro": 15}
    with (tmp_path / "set" / "cells.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    pictures = {path: content for path, content in contents(tmp_path / "set").items() if path.endswith(".bmp")}
    assert {line["path"] for line in lines} == set(pictures)
    assert len(set(pictures.values())) == 60
    assert all(line["path"].partition("/")[0] == line["label"] for line in lines)
    classes_of = defaultdict(set)
    for line in lines:
        classes_of[line["subject"]].add(line["label"])
    assert len(classes_of) == 12
    assert sum(len(found) == 2 for found in classes_of.values()) == 6
    assert all(found == {"benign"} or "benign" not in found for found in classes_of.values())
    layout = understand(str(tmp_path / "set"), EtlOptions())
    assert (layout.name, layout.class_names, layout.subjects_known) == ("table", STAGES, True)
    assert read_marker(tmp_path / "set" / "pro").num_classes == 4
    with pytest.raises(UserError, match="another set"):
        synthesize(tmp_path / "set", num_subjects=12, images_per_subject=5, seed=1)
    with pytest.raises(UserError, match="--classes 3"):
        synthesize(tmp_path / "other", num_classes=3)
    with pytest.raises(UserError, match="at least 12"):
        synthesize(tmp_path / "other", num_subjects=8, num_classes=4)


@pytest.mark.parametrize(("plan", "num_subjects"), [(plan_cnmc, 24), (plan_stages, 24)])
def test_a_hard_set_has_the_same_names_and_other_cells(plan, num_subjects):
    easy = plan(num_subjects, 20, 3)
    hard = harden(easy, seed=3)
    assert str(hard) == str(harden(easy, seed=3))
    assert [picture.path for picture in hard.pictures] == [picture.path for picture in easy.pictures]
    assert hard.table == easy.table
    kinds = [hard.kinds[picture.label] for picture in hard.pictures]
    as_typical = sum(picture.kind == kind for picture, kind in zip(hard.pictures, kinds, strict=True))
    mislabelled = sum(
        picture.kind in hard.kinds and picture.kind != kind for picture, kind in zip(hard.pictures, kinds, strict=True)
    )
    assert mislabelled == round(0.02 * len(hard.pictures))
    assert 0.4 < as_typical / len(hard.pictures) < 0.6
    # Between two kinds is between: never nearer to the neighbour than to what the label says.
    for picture, kind in zip(hard.pictures, kinds, strict=True):
        if picture.kind not in hard.kinds:
            others = [abs(other.radius_px - picture.kind.radius_px) for other in hard.kinds if other is not kind]
            assert abs(kind.radius_px - picture.kind.radius_px) <= min(others) + 1e-9
    # Each hospital has subjects of each class, in stains that are apart.
    labels = defaultdict(set)
    for picture in hard.pictures:
        labels[tuple(picture.hospital.stain)].add(picture.label)
    assert list(labels.values()) == [set(range(len(hard.kinds)))] * 3
    assert np.std(np.log(list(labels)), axis=0).min() > 0.1


def test_a_hard_set_is_marked_as_such(small_set, tmp_path):
    wanted = {"num_subjects": 8, "images_per_subject": 2, "seed": 3}
    assert synthesize(tmp_path / "hard", **wanted, difficulty="hard").num_written == 16
    assert read_marker(tmp_path / "hard").difficulty == "hard"
    assert read_marker(small_set).difficulty == "easy"
    hard, easy = contents(tmp_path / "hard"), contents(small_set)
    assert [path for path in hard if hard[path] == easy[path]] == [LABELS_CSV]
    with pytest.raises(UserError, match="another set"):
        synthesize(small_set, **wanted, difficulty="hard")


def test_mean_colour_and_area_do_not_tell_four_classes_of_unseen_subjects():
    scores = []
    for seed in range(3):
        rows = []
        cells = plan_stages(24, images_per_subject=4, seed=seed)
        for picture in cells.pictures:
            rng = np.random.default_rng(picture.seed_key)
            smear = draw_smear(picture.subject.smear_effects)
            image = paint(draw_traits(cells.kinds[picture.label], smear, rng), smear, rng)
            cell = image.any(axis=2)
            rows.append((*image[cell].mean(axis=0), cell.sum(), picture.label))
        table = np.array(rows)
        features, labels = table[:, :4], table[:, 4].astype(int)
        # Not every third: main stages go round by three.
        unseen = np.array([int(picture.subject.name[1:]) % 5 == 0 for picture in cells.pictures])
        assert set(labels[unseen]) == set(labels[~unseen]) == {0, 1, 2, 3}
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(features[~unseen], labels[~unseen])
        scores.append(f1_score(labels[unseen], model.predict(features[unseen]), average="macro"))
    assert max(scores) < 0.70
