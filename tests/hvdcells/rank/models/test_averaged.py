"""Views of an image and the mean of several looks, against NumPy."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
import tf_keras  # noqa: E402

from hvdcells.rank.models.averaged import averaged, mean_of_logits, view  # noqa: E402
from hvdcells.rank.prediction import Predictor  # noqa: E402
from hvdcells.scores.prediction_table import probabilities_of  # noqa: E402

pytestmark = pytest.mark.tensorflow


def test_the_views_are_the_eight_symmetries_of_the_square():
    image = np.random.default_rng(0).integers(0, 255, (1, 5, 5, 3), dtype=np.uint8)
    turns = [np.rot90(side, turn, (1, 2)) for side in (image, image[:, :, ::-1]) for turn in range(4)]
    for number, expected in enumerate(turns):
        np.testing.assert_array_equal(view(tf.constant(image), number), expected)
    assert len({each.tobytes() for each in turns}) == 8


def test_the_mean_of_logits_has_the_mean_probabilities_and_one_look_keeps_its_bits():
    logits = np.random.default_rng(1).normal(0, 40, (3, 7, 4)).astype(np.float32)
    mean = mean_of_logits([tf.constant(each) for each in logits]).numpy()
    np.testing.assert_allclose(
        probabilities_of(mean), probabilities_of(logits.reshape(-1, 4)).reshape(3, 7, 4).mean(0), atol=1e-6
    )
    np.testing.assert_array_equal(mean_of_logits([tf.constant(logits[0])]), logits[0])


def corner_model(scale):
    """Two logits: nothing, and the red value of the upper left corner."""
    inputs = tf_keras.Input((4, 4, 3))
    corner = tf_keras.layers.Lambda(lambda images: images[:, 0, 0, :1] * scale)(inputs)
    return tf_keras.Model(inputs, tf_keras.layers.ZeroPadding1D((1, 0))(corner[:, :, None])[..., 0])


def test_a_predictor_and_one_graph_average_over_models_and_corners_alike():
    images = np.random.default_rng(2).integers(0, 255, (3, 4, 4, 3), dtype=np.uint8)
    models = [corner_model(0.01), corner_model(-0.003)]
    corners = images[:, [0, 0, -1, -1], [0, -1, 0, -1], 0].astype(float)
    expected = np.mean([1 / (1 + np.exp(-corners * scale)) for scale in (0.01, -0.003)], axis=(0, 2))
    found, _ = Predictor(*models, num_views=8).forward(tf.constant(images))
    np.testing.assert_allclose(probabilities_of(found.numpy())[:, 1], expected, atol=1e-6)
    graph = tf.function(averaged(models, 8), autograph=False)(tf.cast(images, tf.float32))
    np.testing.assert_allclose(graph, found, atol=1e-5)
