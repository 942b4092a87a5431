import cv2
import numpy as np
import pytest

from hvdcells.driver.contact_sheet import describe, draw_contact_sheet, some_of_each_class
from hvdcells.experiment import Augmentation, Experiment, recipes
from tests.small_dataset import write_small_dataset


@pytest.fixture
def dataset(tmp_path):
    return write_small_dataset(tmp_path / "dataset", {"train": [[8, 8]], "validation": [[8]], "test": [[4]]})


def test_images_are_of_the_training_split_and_of_both_classes_in_turn(dataset):
    images, labels = some_of_each_class(dataset, Experiment(), 5)
    assert labels == [0, 1, 0, 1, 0]
    assert images.shape == (5, 24, 24, 3)
    # The first bytes of an image tell its row and split.
    assert images[:, 0, 0].tolist() == [[row, 0, 0] for row in range(5)]


def test_fewer_images_than_asked_for_are_shown(dataset):
    images, labels = some_of_each_class(dataset, Experiment(), 100)
    assert len(images) == len(labels) == 16


@pytest.mark.tensorflow
def test_the_sheet_is_a_picture_that_differs_by_augmentation_and_not_from_call_to_call(dataset, tmp_path):
    sheets = []
    for number, options in enumerate([Augmentation(), Augmentation(), Augmentation(stain=0.3)]):
        location = str(tmp_path / f"{number}.png")
        experiment = Experiment(augmentation=options)
        draw_contact_sheet(dataset, experiment, location, num_images=2, num_variants=3)
        sheets.append(cv2.imread(location))
    assert sheets[0].shape[0] > 200
    assert sheets[0].shape[1] > 400
    assert np.array_equal(sheets[0], sheets[1])
    assert sheets[0].shape != sheets[2].shape or not np.array_equal(sheets[0], sheets[2])


def test_changes_are_named():
    assert describe(Augmentation()) == "flips, quarter_turns"
    assert describe(Augmentation(flips=False, quarter_turns=False)) == "none"
    assert "rotation_degrees 180" in describe(recipes.mobilenet_v2_transfer().augmentation)
