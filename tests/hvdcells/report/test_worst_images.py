import base64

import cv2
import numpy as np
import pytest

from hvdcells.errors import UserError
from hvdcells.report.worst_images import worst_images
from tests.small_dataset import write_small_dataset


@pytest.fixture(params=["raw", "png"])
def dataset(tmp_path, request):
    return write_small_dataset(tmp_path, {"test": [[5, 3], [4]], "train": [[4]]}, encoding=request.param)


def predictions_of(dataset, probabilities):
    rows = dataset.read_rows("test", ["image_id", "subject", "label", "content_hash"])
    return rows.assign(probability_hem=1 - probabilities, probability_all=probabilities)


def row_in(png_base64):
    """The row number that `small_dataset` writes into the first pixel."""
    image = cv2.imdecode(np.frombuffer(base64.b64decode(png_base64), np.uint8), cv2.IMREAD_COLOR)
    return int(image[0, 0, 2])  # red; OpenCV has blue first


def test_the_worst_of_each_class_come_first_with_their_own_pixels(dataset):
    # Label is row % 2: of cancer (odd rows) 7 is worst, of healthy (even rows) 10.
    probabilities = np.array([0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.45, 0.01, 0.05, 0.4, 0.99, 0.6])
    worst = worst_images(predictions_of(dataset, probabilities), dataset, "test", per_class=3)
    assert [image.image_id for image in worst] == [f"test-{row}" for row in (7, 9, 11, 10, 6, 4)]
    assert [row_in(image.png_base64) for image in worst] == [7, 9, 11, 10, 6, 4]
    assert [image.wrong for image in worst] == [True, True, False, True, False, False]
    assert [image.label for image in worst] == [1, 1, 1, 0, 0, 0]
    assert worst[0].probability == pytest.approx(0.01)


def test_a_dataset_with_other_images_is_refused(dataset):
    other = predictions_of(dataset, np.linspace(0, 1, 12))
    other.loc[3, "content_hash"] = "another"
    with pytest.raises(UserError, match="other images"):
        worst_images(other, dataset, "test")
