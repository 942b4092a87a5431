import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from hvdcells.experiment import Training
from hvdcells.rank.losses import image_loss

pytestmark = pytest.mark.tensorflow


def losses(logits, labels, **options):
    columns = [tf.constant(np.reshape(each, (-1, 1)), tf.float32) for each in (labels, logits)]
    return image_loss(Training(**options))(*columns).numpy()


@given(st.floats(-20, 20), st.sampled_from([0, 1]), st.floats(0, 0.5), st.floats(0, 5))
def test_losses_are_what_their_papers_say(logit, label, smoothing, gamma):
    p = 1 / (1 + np.exp(-logit))
    target = label * (1 - smoothing) + smoothing / 2
    entropy = np.logaddexp(0, logit) - target * logit
    p_true = target * p + (1 - target) * (1 - p)
    plain = losses([logit], [label], label_smoothing=smoothing)
    focal = losses([logit], [label], label_smoothing=smoothing, loss="focal", focal_gamma=gamma)
    assert plain == pytest.approx([entropy], rel=1e-3, abs=1e-5)
    assert focal == pytest.approx([(1 - p_true) ** gamma * entropy], rel=1e-2, abs=1e-5)


def test_one_value_an_image_and_no_overflow_for_large_logits():
    for loss in ("cross_entropy", "focal"):
        values = losses([1e4, -1e4, 1e4, -1e4], [1, 0, 0, 1], loss=loss)
        assert values.shape == (4,)
        assert np.all(np.isfinite(values))
        assert values.tolist() == pytest.approx([0, 0, 1e4, 1e4])


def test_gradients_are_finite_for_large_logits():
    for loss in ("cross_entropy", "focal"):
        logits = tf.constant([[80.0], [-80.0], [80.0], [-80.0]])
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = image_loss(Training(loss=loss))(tf.constant([[1.0], [0.0], [0.0], [1.0]]), logits)
        assert np.all(np.isfinite(tape.gradient(value, logits)))
