import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given
from hypothesis import strategies as st

from hvdcells.experiment import Training
from hvdcells.experiment.recipes import small_cnn
from hvdcells.rank.losses import class_weights, image_loss
from tests.small_dataset import write_small_dataset

pytestmark = pytest.mark.tensorflow

CLASSES = ("benign", "early", "pre", "pro")


def losses(logits, labels, **options):
    return image_loss(Training(**options))(tf.constant(labels, tf.float32), tf.constant(logits, tf.float32)).numpy()


@given(st.data(), st.integers(2, 6), st.floats(0, 0.5), st.floats(0, 5))
def test_losses_are_what_their_papers_say(data, num_classes, smoothing, gamma):
    logits = np.array(data.draw(st.lists(st.floats(-20, 20), min_size=num_classes, max_size=num_classes)))
    label = data.draw(st.integers(0, num_classes - 1))
    p = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    target = np.full(num_classes, smoothing / num_classes)
    target[label] += 1 - smoothing
    entropy = -(target * np.log(p)).sum()
    plain = losses([logits], [label], label_smoothing=smoothing)
    focal = losses([logits], [label], label_smoothing=smoothing, loss="focal", focal_gamma=gamma)
    assert plain == pytest.approx([entropy], rel=1e-3, abs=1e-4)
    assert focal == pytest.approx([max(1 - target @ p, 1e-7) ** gamma * entropy], rel=1e-2, abs=1e-4)


@given(st.floats(-20, 20), st.sampled_from([0, 1]), st.floats(0, 0.5), st.floats(0, 5))
def test_two_classes_have_the_loss_of_one_logit(logit, label, smoothing, gamma):
    columns = tf.constant([[float(label)]]), tf.constant([[logit]])
    common = {"from_logits": True, "label_smoothing": smoothing, "reduction": "none"}
    plain = tf_keras.losses.BinaryCrossentropy(**common)(*columns).numpy()
    focal = tf_keras.losses.BinaryFocalCrossentropy(gamma=gamma, **common)(*columns).numpy()
    two = [[0.0, logit]]
    assert losses(two, [label], label_smoothing=smoothing) == pytest.approx(plain, rel=1e-3, abs=1e-4)
    given = {"label_smoothing": smoothing, "loss": "focal", "focal_gamma": gamma}
    assert losses(two, [label], **given) == pytest.approx(focal, rel=1e-2, abs=1e-4)


def test_one_value_an_image_and_no_overflow_for_large_logits():
    for loss in ("cross_entropy", "focal"):
        values = losses([[0, 1e4, 0], [1e4, 0, 0], [1e4, 0, 0], [0, 1e4, 0]], [1, 0, 1, 2], loss=loss)
        assert values.shape == (4,)
        assert values.tolist() == pytest.approx([0, 0, 1e4, 1e4])


@pytest.mark.parametrize("options", [{}, *({"loss": "focal", "focal_gamma": gamma} for gamma in (0, 0.5, 1, 2))])
def test_gradients_are_finite_and_push_wrong_images_however_large_the_logits(options):
    logits = tf.constant([[0.0, 80.0], [0.0, -80.0], [0.0, 200.0], [0.0, -200.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = image_loss(Training(**options))(tf.constant([1.0, 0.0, 0.0, 1.0]), logits)
    gradient = tape.gradient(value, logits).numpy()
    assert np.all(np.isfinite(gradient))
    assert gradient[2, 1] == pytest.approx(1, rel=1e-3)
    assert gradient[3, 1] == pytest.approx(-1, rel=1e-3)


def test_classes_weigh_alike_in_all_whatever_their_number(tmp_path):
    dataset = write_small_dataset(tmp_path, {"train": [[5, 2]]}, class_names=CLASSES)
    images = dataset.split("train").images_per_class
    assert sorted(images.values()) == [1, 2, 2, 2]
    weights = class_weights(dataset, small_cnn())
    assert [weight * images[name] for weight, name in zip(weights, CLASSES, strict=True)] == pytest.approx([7 / 4] * 4)
    assert class_weights(dataset, small_cnn().override({"training.class_weights": "none"})) == (1,) * 4
