import numpy as np
import pytest

from hvdcells.data.dataset import Dataset
from hvdcells.data.folds import pooled_moments
from hvdcells.data.manifest import FoldSummary
from hvdcells.errors import UserError
from hvdcells.experiment.recipes import small_cnn
from hvdcells.rank.input.reader import open_reader
from tests.small_dataset import write_small_dataset

FILES = [[8, 4], [6], [8], [4, 4], [10], [5]]  # of the training split; their folds: 0, 1, 2, 0, 1, 2


@pytest.fixture
def dataset(tmp_path):
    return write_small_dataset(tmp_path, {"train": FILES, "test": [[6]]}, num_folds=3)


def by_fold(dataset):
    return [Dataset.open(dataset.location, fold) for fold in range(3)]


def test_each_image_validates_once_and_trains_in_all_other_folds(dataset):
    everything = dataset.read_rows("train", ["image_id"])["image_id"].tolist()
    validated = []
    for view in by_fold(dataset):
        train = view.read_rows("train", ["image_id"])["image_id"].tolist()
        validation = view.read_rows("validation", ["image_id"])["image_id"].tolist()
        assert sorted(train + validation) == sorted(everything)
        assert view.split("test") == dataset.split("test")
        validated += validation
    assert sorted(validated) == sorted(everything)


def test_no_leakage_group_is_on_both_sides(dataset):
    for view in by_fold(dataset):
        sides = [set(view.read_rows(split, ["group"])["group"]) for split in ("train", "validation")]
        assert sides[0]
        assert sides[1]
        assert not sides[0] & sides[1]


@pytest.mark.tensorflow
def test_counts_plans_and_weights_follow_the_fold(dataset):
    from hvdcells.rank.losses import class_weights

    for fold, view in enumerate(by_fold(dataset)):
        for split in ("train", "validation"):
            rows, summary = view.read_rows(split, ["class_name", "subject", "fold"]), view.split(split)
            assert summary.images == sum(view.rows_per_row_group(split)) == len(rows)
            assert summary.images_per_class == rows["class_name"].value_counts().to_dict()
            assert summary.images_per_subject == rows["subject"].value_counts().to_dict()
            assert set(rows["fold"]) == ({fold} if split == "validation" else {0, 1, 2} - {fold})
    assert by_fold(dataset)[0].rows_per_row_group("validation") == [8, 4, 4, 4]
    assert by_fold(dataset)[0].rows_per_row_group("train") == [6, 8, 10, 5]
    train = by_fold(dataset)[2].split("train")
    weights = class_weights(by_fold(dataset)[2], small_cnn())
    assert weights == pytest.approx([train.images / (2 * train.images_per_class[name]) for name in ("hem", "all")])


def test_the_reader_reads_the_rows_of_the_fold(dataset):
    view = Dataset.open(dataset.location, 1)
    with open_reader(view, "validation", [0, 1], input_size=24, num_threads=1) as reader:
        numbers = [f"train-{row}" for row_group in reader for row in row_group.image[:, 0, 0, 0].tolist()]
    assert numbers == view.read_rows("validation", ["image_id"])["image_id"].tolist()


def test_channel_statistics_are_those_of_the_training_folds_alone(dataset):
    rng = np.random.default_rng(0)
    values = [rng.uniform(0, 255, (images, 3)) for images in (5, 9)]
    folds = [
        FoldSummary(
            images=len(pixels),
            images_per_class={"hem": len(pixels)},
            images_per_subject={},
            class_per_subject={},
            channel_mean=tuple(pixels.mean(axis=0)),
            channel_std=tuple(pixels.std(axis=0)),
        )
        for pixels in values
    ]
    mean, std = pooled_moments(folds)
    assert mean == pytest.approx(np.concatenate(values).mean(axis=0))
    assert std == pytest.approx(np.concatenate(values).std(axis=0))
    # In the small dataset a fold's mean of red is 100 + its number: 16 images of fold 1, 13 of fold 2.
    assert Dataset.open(dataset.location, 0).manifest.channel_mean[0] == pytest.approx((16 * 101 + 13 * 102) / 29)


def test_a_fold_that_is_not_there_and_a_dataset_without_folds_are_refused(dataset, tmp_path):
    with pytest.raises(UserError, match=r"no fold 3"):
        Dataset.open(dataset.location, 3)
    plain = write_small_dataset(tmp_path / "plain", {"train": [[4]], "validation": [[4]]})
    with pytest.raises(UserError, match="k-fold"):
        Dataset.open(plain.location, 0)


def test_training_without_a_fold_says_how_to_choose_one(dataset):
    with pytest.raises(UserError, match="cross-validate"):
        dataset.split("validation")
