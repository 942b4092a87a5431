"""The graph that prepares images, against OpenCV."""

import cv2
import numpy as np
import pytest

from hvdcells.images.prepare import ImagePreparation

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize(
    ("crop", "image_size", "input_size", "shape", "share"),
    [
        pytest.param(0, 32, 32, (90, 75), 1e-3, id="largest square, shrunk"),
        pytest.param(50, 32, 24, (90, 75), 1e-3, id="crop, shrunk twice"),
        pytest.param(60, 32, 32, (45, 90), 1e-3, id="black above and below"),
        pytest.param(64, 32, 32, (90, 75), 1e-3, id="halved"),
        pytest.param(20, 32, 48, (30, 40), 0.25, id="grown twice"),
        pytest.param(70, 32, 32, (32, 32), 0.0, id="prepared already"),
    ],
)
def test_images_are_prepared_as_opencv_does_it(crop, image_size, input_size, shape, share):
    import tensorflow as tf

    from hvdcells.inference.preparation_graph import prepared

    preparation = ImagePreparation(crop=crop, image_size=image_size, input_size=input_size)
    images = np.random.default_rng(0).integers(0, 256, (3, *shape, 3), dtype=np.uint8)
    images[1:] = [cv2.GaussianBlur(image, (0, 0), 3) for image in images[1:]]
    is_prepared = shape == (input_size, input_size)
    expected = images if is_prepared else np.stack([preparation.of_pixels(image) for image in images])
    graph = tf.function(
        lambda each: prepared(each, preparation), input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)]
    )
    difference = np.abs(graph(images).numpy() - expected.astype(np.float32))
    assert difference.max() <= 1  # of 255
    assert (difference > 0).mean() <= share
