"""Which folders and names of a source are classes, which are splits, and what counts as ill."""

import pytest

from etl.options import EtlOptions
from etl.source.layouts.classes import settle_classes
from etl.source.layouts.levels import find_levels
from hvdcells.errors import UserError

AUTO = EtlOptions.of()


def level_of(*folders, **options):
    return find_levels(folders, EtlOptions.of(**options), "the source x").of_classes


def test_the_class_level_is_not_that_of_splits():
    assert level_of("train/a", "test/a", "train/b") == 1
    assert level_of("a/x", "b/x") == 0
    assert level_of("data/a/train", "data/b/test") == 1


@pytest.mark.parametrize(
    ("folders", "level"),
    [
        (("0/malignant", "1/benign", "0/benign"), 1),
        (("0/malignant", "1/benign"), 1),
        (("1/eos", "1/mono", "2/eos", "2/mono"), 1),
        ((*(f"patient_{number:03d}/benign" for number in range(3)), "patient_003/malignant"), 1),
        (("fold_0/eos", "fold_1/eos", "fold_0/mono", "fold_1/mono"), 1),
        (("train/fold_0/eos", "train/fold_1/mono", "test/fold_0/eos"), 2),
        (("eos/p1", "eos/p2", "mono/p3"), 0),
        (("eos/7", "eos/8", "mono/9"), 0),
        (("eos/40x", "eos/100x", "mono/40x", "mono/100x"), 0),
        (("benign/adenosis", "benign/fibroadenoma", "malignant/ductal"), 0),
        (("benign", "malignant/a", "malignant/b"), 0),
    ],
)
def test_the_level_of_classes_is_the_one_that_makes_sense(folders, level):
    assert level_of(*folders) == level


def test_a_level_in_doubt_is_refused_and_options_settle_it():
    folders = [f"{first}/{second}" for first in ("mild", "severe") for second in ("eos", "mono")]
    with pytest.raises(UserError, match="--class-level 1 or --class-level 2"):
        level_of(*folders)
    assert level_of(*folders, class_level=1) == 0
    assert level_of(*folders, class_level=2) == 1
    assert level_of(*folders, classes="mono,eos") == 1
    with pytest.raises(UserError, match="--class-level 3, but the source x has 2 levels"):
        level_of(*folders, class_level=3)


def settle(*found, **options):
    return settle_classes(dict.fromkeys(found, 1), EtlOptions.of(**options), "the source x")


def test_which_of_two_classes_counts_as_ill():
    for found, names in (
        (("all", "hem"), ("hem", "all")),
        (("Normal", "Blast"), ("Normal", "Blast")),
        (("1", "0"), ("0", "1")),
        (("True", "False"), ("False", "True")),
        (("infected", "uninfected"), ("uninfected", "infected")),
        (("cancer", "non-cancer"), ("non-cancer", "cancer")),
    ):
        classes = settle(*found)
        assert (classes.names, classes.positive, classes.notes) == (names, names[1:], ())
    # An order that is asked for does not turn round what the names tell.
    assert settle("all", "hem", classes="all,hem").positive == ("all",)
    for option in ({"positive": "b"}, {"cancer_class": "b"}):
        assert settle("b", "c", **option).names == ("c", "b")
        assert settle("b", "c", **option).positive == ("b",)
    unclear = settle("b", "c")
    assert (unclear.names, unclear.positive) == (("b", "c"), ("c",))
    assert "do not tell which class counts as ill: c" in unclear.notes[0]


def test_any_number_of_classes_in_the_order_of_names_or_as_asked():
    assert settle("pro", "pre", "early", "benign").names == ("benign", "early", "pre", "pro")
    assert settle("pro", "pre", "early", "benign").positive == ()
    asked = settle("pro", "pre", "early", "benign", classes="benign,pro,early,pre", positive=("pre", "early"))
    assert (asked.names, asked.positive) == (("benign", "pro", "early", "pre"), ("early", "pre"))
    assert len(settle(*(f"class {number:02d}" for number in range(21))).names) == 21


def test_classes_are_merged_and_left_aside():
    classes = settle("a", "b", "c", "d", map_class={"b": "a", "c": "x"}, ignore_class=("d",))
    assert classes.names == ("a", "x")
    assert classes.class_of == {"a": "a", "b": "a", "c": "x"}


def test_spellings_of_one_class_are_taken_for_one():
    classes = settle_classes({"ALL": 2, "all": 9, "hem ": 1, "Hem": 3}, AUTO, "x")
    assert classes.names == ("Hem", "all")
    assert classes.class_of == {"ALL": "all", "all": "all", "hem ": "Hem", "Hem": "Hem"}
    assert len(classes.notes) == 2
    assert settle("1.0", "0", "1").names == ("0", "1")


@pytest.mark.parametrize(
    ("found", "options", "message"),
    [
        ("a", {}, "1 class: a"),
        ("abc", {"ignore_class": ("a", "b")}, "1 class: c besides 2 that are ignored"),
        ("ab", {"map_class": {"a": "b"}}, "1 class: b"),
        ("ab", {"cancer_class": "d"}, "--cancer-class d"),
        ("abc", {"positive": "a,b,c"}, "all classes"),
        ("abc", {"ignore_class": ("d",)}, "--ignore-class d"),
        ("abc", {"map_class": {"d": "a"}}, "--map-class d=a"),
        ("abc", {"map_class": {"a": "b"}, "ignore_class": ("a",)}, "--ignore-class a and --map-class a"),
        ("abc", {"classes": "a,b"}, "c is not among them"),
        ("abc", {"classes": "a,b,c,d,a"}, "d is no class of the source x; a stands there twice"),
        ("ab", {"cancer_class": "a", "positive": "b"}, "the same"),
    ],
)
def test_options_that_name_no_class_are_refused(found, options, message):
    with pytest.raises(UserError, match=message):
        settle(*found, **options)


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train_set", "test_set"), ("train", "test")),
        (("Training Data", "Test Data"), ("train", "test")),
        (("train", "eval"), ("train", "validation")),
        (("train", "valid", "test"), ("train", "validation", "test")),
        (("TRAIN", "TEST", "TEST_SIMPLE"), ("train", "test", "test")),
        (("seg_train", "seg_test"), ("train", "test")),
        (("train2017", "val2017"), ("train", "validation")),
    ],
)
def test_folders_of_splits_under_the_names_that_people_give_them(names, splits):
    levels = find_levels([f"{split}/{name}" for split in names for name in "abc"], AUTO, "x")
    assert (levels.of_splits, levels.of_classes) == (0, 1)
    assert tuple(levels.splits[name] for name in names) == splits
