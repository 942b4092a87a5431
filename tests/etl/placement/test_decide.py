import pytest

from etl.options import EtlOptions
from etl.placement.decide import DuplicateImage, Duplicates, decide_placement
from etl.source.rows import Kind
from hvdcells.data.columns import CNMC_CLASS_NAMES, NO_FOLD
from hvdcells.errors import UserError


def many(per_class=6, num_images=3):
    return {Kind(f"{label}-{number}", label, "train", 0): num_images for label in (0, 1) for number in range(per_class)}


def decided(kinds, has_validation=True, duplicates=None, num_rejected=None, **options):
    options = EtlOptions.of(**options)
    return decide_placement(kinds, options, CNMC_CLASS_NAMES, has_validation, duplicates, num_rejected)


def duplicates_of(*sets):
    return Duplicates(tuple(tuple(DuplicateImage(source, kind) for source, kind in members) for members in sets))


def test_copies_leave_the_side_that_is_trained_on():
    images = {
        "a": Kind("1", 1, "train", 0),
        "b": Kind("2", 1, "validation", 2),
        "c": Kind("3", 1, "validation", 2),
        "d": Kind("4", 1, "test", NO_FOLD),
        "e": Kind("5", 1, "train", 0),
        "f": Kind("6", 1, "train", 1),
        "g": Kind("7", 0, "train", 0),
        "h": Kind("7", 0, "test", NO_FOLD),
    }
    duplicates = duplicates_of(*([(name, images[name]) for name in pair] for pair in ("ab", "cd", "ef")))
    kinds = dict.fromkeys(images.values(), 1)
    placement = decided(kinds, duplicates=duplicates, split="official")
    assert {name: placement.place(name, kind).dropped for name, kind in images.items()} == {
        "a": "the same pixels are also in validation",
        "b": "",
        "c": "the same pixels are also in test",
        "d": "",
        "e": "",
        "f": "",
        "g": "its subject is also in test",
        "h": "",
    }
    kept = decided(kinds, duplicates=duplicates, split="official", keep_leaks=True)
    assert {kept.place(name, kind).dropped for name, kind in images.items()} == {""}


def test_a_copy_whose_other_was_dropped_for_its_subject_stays():
    train, both, test = Kind("1", 1, "train", 0), Kind("2", 1, "validation", 2), Kind("2", 1, "test", NO_FOLD)
    duplicates = duplicates_of([("a", train), ("b", both)])
    placement = decided(
        {train: 1, both: 1, test: 1, Kind("3", 0, "train", 0): 1}, duplicates=duplicates, split="official"
    )
    assert placement.place("b", both).dropped == "its subject is also in test"
    assert placement.place("a", train).dropped == ""


def test_official_takes_validation_from_training_subjects_where_the_source_has_none():
    kinds = many()
    placement = decided(kinds, has_validation=False, split="official")
    assert {(kind.label, placement.place("", kind).split) for kind in kinds} == {
        (0, "train"),
        (1, "train"),
        (0, "validation"),
        (1, "validation"),
    }


def test_folds_are_numbered_and_the_official_test_stays_apart():
    test = Kind("9", 1, "test", NO_FOLD)
    kinds = many() | {test: 5}
    placement = decided(kinds, split="k-fold", num_folds=3)
    places = {kind: placement.place("", kind) for kind in kinds}
    assert (places[test].split, places[test].fold) == ("test", NO_FOLD)
    assert {place.fold for kind, place in places.items() if kind != test} == {0, 1, 2}
    assert {place.split for kind, place in places.items() if kind != test} == {"train"}


@pytest.mark.parametrize("split", ["grouped", "k-fold"])
def test_subjects_that_were_joined_stay_together(split):
    kinds = many()
    group_of = {"0-1": "0-1", "0-2": "0-1", "1-5": "0-1"}
    placement = decided(kinds, duplicates=Duplicates(group_of=group_of), split=split, num_folds=3)
    places = {placement.place("", kind) for kind in kinds if kind.subject in group_of}
    assert len(places) == 1
    assert places.pop().group == "0-1"


@pytest.mark.parametrize(("split", "extra"), [("grouped", {}), ("k-fold", {"num_folds": 3})])
def test_too_few_subjects_are_refused_by_name(split, extra):
    with pytest.raises(UserError, match="too few leakage groups") as error:
        decided(many(per_class=2), split=split, **extra)
    assert "2 of 'hem', 2 of 'all'" in error.value.given
    assert "at least 3" in error.value.expected


def test_an_empty_training_split_is_refused():
    with pytest.raises(UserError, match="the training split is empty"):
        decided({Kind("1", 0, "test", 0): 3, Kind("2", 1, "test", 0): 3}, split="official")


def test_some_rejected_images_change_nothing_and_a_lost_subject_does():
    kinds = many()
    before = decided(kinds, split="grouped")
    one = next(iter(kinds))
    assert decided(kinds, num_rejected={one: 2}, split="grouped") == before
    assert one.subject not in decided(kinds, num_rejected={one: 3}, split="grouped").part_of


def test_the_seed_decides():
    kinds = many(12)

    def splits(seed):
        placement = decided(kinds, split="grouped", seed=seed)
        return tuple(placement.place("", kind).split for kind in kinds)

    assert splits(1) == splits(1)
    assert len({splits(seed) for seed in range(4)}) > 1
