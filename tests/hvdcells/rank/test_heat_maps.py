"""Heat maps: on the planted mark, other ones with random weights, of every backbone; predictions stay as they are."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
import tf_keras  # noqa: E402

from hvdcells.experiment import Model  # noqa: E402
from hvdcells.rank.heat_maps import NoFeatureMapError, grad_cam, occlusion  # noqa: E402
from hvdcells.rank.models import build_model  # noqa: E402

pytestmark = pytest.mark.tensorflow
SIZE, MARK = 64, 12


def marked(count, seed):
    """Noise; odd images have a bright mark somewhere, the boolean masks say where."""
    rng = np.random.default_rng(seed)
    images = rng.integers(60, 140, (count, SIZE, SIZE, 3), dtype=np.uint8)
    masks = np.zeros((count, SIZE, SIZE), bool)
    for number in range(1, count, 2):
        row, column = rng.integers(4, SIZE - MARK - 4, 2)
        masks[number, row : row + MARK, column : column + MARK] = True
        images[number, row : row + MARK, column : column + MARK, 0] = 230
    return images, masks, np.arange(count) % 2


def classifier(**options):
    return build_model(Model(width=0.4, **options), SIZE, (100.0,) * 3, (30.0,) * 3, 3)


@pytest.fixture(scope="module")
def trained():
    images, _, labels = marked(96, 0)
    model = classifier()
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adam(0.01), loss)
    model.fit(images.astype(np.float32), labels, batch_size=16, epochs=8, verbose=0)
    return model


def mass_on(maps, masks):
    """Share of the maps' mass on the masks, and half a cell of the maps around them."""
    grown = tf.nn.max_pool2d(masks[..., None].astype(np.float32), 9, 1, "SAME").numpy()[..., 0]
    return (maps * grown).sum() / maps.sum()


def test_the_mass_lies_on_the_planted_mark_by_both_methods_and_not_with_random_weights(trained):
    images, masks, labels = (each[1::2] for each in marked(24, 1))
    before = trained(images.astype(np.float32), training=False).numpy()
    assert (before.argmax(axis=1) == labels).mean() > 0.9
    maps, layer = grad_cam(trained, images, labels)
    few = slice(0, 4)  # 65 predictions an image
    covered = occlusion(lambda each: trained(each.astype(np.float32), training=False).numpy(), images[few], labels[few])
    random, _ = grad_cam(classifier(), images, labels)
    assert layer == "relu4"
    assert maps.shape == (12, SIZE, SIZE)
    by_chance = mass_on(np.ones_like(maps), masks)
    assert by_chance == pytest.approx(0.1, abs=0.01)
    assert mass_on(maps, masks) > 0.4
    assert mass_on(covered, masks[few]) > 0.6
    assert mass_on(random, masks) < 0.25
    assert np.abs(maps - random).mean() > 0.1
    np.testing.assert_array_equal(trained(images.astype(np.float32), training=False), before)
    np.testing.assert_array_equal(grad_cam(trained, images, labels)[0], maps)


def test_both_classes_of_two_have_a_map_also_where_one_logit_is_always_zero(monkeypatch, tmp_path):
    (tmp_path / "single_logit.py").write_text(
        "import tf_keras\n"
        "def one_logit(size):\n"
        "    inputs = tf_keras.Input((size, size, 3))\n"
        "    maps = tf_keras.layers.Conv2D(4, 3, activation='relu', name='mine')(inputs)\n"
        "    return tf_keras.Model(inputs, tf_keras.layers.Dense(1)(tf_keras.layers.Flatten()(maps)))\n"
        "def no_places(size):\n"
        "    inputs = tf_keras.Input((size, size, 3))\n"
        "    return tf_keras.Model(inputs, tf_keras.layers.Dense(5)(tf_keras.layers.Flatten()(inputs)))\n"
        "class Mine(tf_keras.layers.Layer):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.conv = tf_keras.layers.Conv2D(4, 3)\n"
        "    def call(self, images):\n"
        "        return self.conv(images)\n"
        "def nested(size):\n"
        "    return tf_keras.Sequential([tf_keras.layers.Input((size, size, 3)), tf_keras.Sequential([Mine()]),\n"
        "                                tf_keras.layers.GlobalMaxPooling2D()])\n"
        "def of_keras_3(size):\n"
        "    import keras\n"
        "    inputs = keras.layers.Input((size, size, 3))\n"
        "    maps = keras.layers.Conv2D(4, 3, name='third')(inputs)\n"
        "    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(maps))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    images = marked(2, 2)[0]
    maps, layer = grad_cam(build("single_logit:one_logit"), images, [0, 1])
    assert layer == "mine"
    assert maps.max() == 1  # of one of the classes: what speaks against a class is nothing on its own map
    assert grad_cam(build("single_logit:nested"), images, [0, 1])[0].std() > 0
    assert grad_cam(build("single_logit:of_keras_3"), images, [0, 1])[1] == "third"
    with pytest.raises(NoFeatureMapError, match="occlusion needs none"):
        grad_cam(build("single_logit:no_places"), images, [0, 1])


def build(backbone, size=SIZE):
    return build_model(Model(backbone=backbone), size, (100.0,) * 3, (30.0,) * 3, 3)


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "mobilenet_v3_small"])
def test_a_backbone_has_a_map_and_keeps_its_predictions(backbone):
    size = 96
    model = build(backbone, size)
    images = np.random.default_rng(0).integers(0, 255, (1, size, size, 3), dtype=np.uint8)
    before = model(images.astype(np.float32), training=False).numpy()
    maps = [grad_cam(model, images, [label])[0] for label in (0, 1)]
    assert all(each.shape == (1, size, size) for each in maps)
    assert max(each.max() for each in maps) == pytest.approx(1)
    # Random weights of MobileNet give 1e-10, which a thread that flushes the smallest numbers to zero gives as 0.
    after = model(images.astype(np.float32), training=False).numpy()
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-9)
