import pytest

from etl.options import EtlOptions
from etl.placing import drop_leaks, place
from hvdcells.errors import UserError
from hvdcells.schema import CNMC_CLASS_NAMES, NO_FOLD

pytestmark = pytest.mark.spark

DDL = "source string, subject string, `group` string, label int, content_hash string, official_split string, fold int"


@pytest.fixture(autouse=True)
def few_rows(spark):
    from etl.frames import settings_for

    with settings_for(spark, 1000):
        yield


def images(spark, rows):
    return spark.createDataFrame(rows, DDL)


def many(spark, per_class=6):
    rows = []
    for label in (0, 1):
        for number in range(per_class):
            subject = f"{label}-{number}"
            rows += [
                (f"{subject}-{index}", subject, subject, label, f"{subject}{index}", "train", 0) for index in range(3)
            ]
    return images(spark, rows)


def test_copies_leave_the_side_that_is_trained_on(spark):
    rows = [
        ("a", "1", "1", 1, "x", "train", 0),
        ("b", "2", "1", 1, "x", "validation", 2),
        ("c", "3", "1", 1, "y", "validation", 2),
        ("d", "4", "1", 1, "y", "test", NO_FOLD),
        ("e", "5", "5", 1, "z", "train", 0),
        ("f", "6", "5", 1, "z", "train", 1),
        ("g", "7", "7", 0, "w", "train", 0),
        ("h", "7", "7", 0, "v", "test", NO_FOLD),
    ]
    frame = images(spark, rows).withColumnRenamed("official_split", "split")
    dropped = {row.source: row.dropped for row in drop_leaks(frame).collect()}
    assert dropped == {
        "a": "the same pixels are also in validation",
        "b": "",
        "c": "the same pixels are also in test",
        "d": "",
        "e": "",
        "f": "",
        "g": "its subject is also in test",
        "h": "",
    }
    assert {row.dropped for row in drop_leaks(frame, keep_leaks=True).collect()} == {""}


def test_official_takes_validation_from_training_subjects_where_the_source_has_none(spark):
    placed = place(many(spark), EtlOptions.of(split="official"), CNMC_CLASS_NAMES, has_validation=False).collect()
    sides = {}
    for row in placed:
        sides.setdefault((row.subject, row.label), set()).add(row.split)
    assert all(len(splits) == 1 for splits in sides.values())
    assert {(label, *splits) for (_, label), splits in sides.items()} == {
        (0, "train"),
        (1, "train"),
        (0, "validation"),
        (1, "validation"),
    }


def test_folds_are_numbered_and_whole(spark):
    placed = place(many(spark), EtlOptions.of(split="k-fold", num_folds=3), CNMC_CLASS_NAMES).collect()
    folds = {}
    for row in placed:
        folds.setdefault(row.group, set()).add(row.fold)
    assert all(len(fold) == 1 for fold in folds.values())
    assert {fold for (fold,) in folds.values()} == {0, 1, 2}


@pytest.mark.parametrize(("split", "extra"), [("grouped", {}), ("k-fold", {"num_folds": 3})])
def test_too_few_subjects_are_refused_by_name(spark, split, extra):
    with pytest.raises(UserError, match="class 'hem' has 2 leakage groups") as error:
        place(many(spark, per_class=2), EtlOptions.of(split=split, **extra), CNMC_CLASS_NAMES)
    assert "at least 3" in error.value.expected


def test_the_seed_decides(spark):
    def splits(seed):
        placed = place(many(spark, 12), EtlOptions.of(split="grouped", seed=seed), CNMC_CLASS_NAMES).collect()
        return {row.source: row.split for row in placed}

    assert splits(1) == splits(1)
    assert len({tuple(sorted(splits(seed).items())) for seed in range(4)}) > 1
